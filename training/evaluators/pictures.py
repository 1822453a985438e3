"""What a classifier of pictures gets wrong, and what its first layer looks for, to be looked at."""

import io
import pathlib
import shlex
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from kmodels.core import classifying
from kmodels.core.codecs.images import PNG, Images
from training.loop import Evaluator
from training.prepared import Prepared

BATCH = 100
MOST = 2000  # held-out pictures that are looked at
WORST = 16  # mistakes that are shown
CLASSES = 30  # of a confusion matrix that one can read


def question(codec: Images, config: Any, published: pathlib.Path) -> str:
    """The words that send the first example of a published codec: a recipe's `ask`."""
    name = f"example-0{'.png' if codec.examples[0].startswith(PNG) else '.jpg'}"
    return shlex.quote(f"image_bytes=@{published / 'assets.extra' / 'codec' / name}")


def of(model: keras.Model, prepared: Prepared, *, first: str) -> Sequence[Evaluator]:
    """All there is to see of a convolutional classifier; `first` names its first convolution."""
    return [*mistakes(model, prepared), filters(model, first)]


def mistakes(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """The confusion matrix, and the mistakes the network is surest of, of held-out pictures."""
    codec: Images = prepared.codec
    data: Any = prepared.data
    count = min(MOST, len(data.source.eval.labels))
    names = codec.labels

    @tf.function(reduce_retracing=True, autograph=False)
    def probabilities(seen: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(classifying.main(model(seen, training=False)))

    def look() -> dict[str, Any]:
        pairs: list[tuple[int, int]] = []
        wrong: list[tuple[float, np.ndarray, str]] = []  # the surest ones so far
        for batch in data.batches("eval", BATCH, seed=0).take(-(-count // BATCH)):
            said = probabilities(batch["image"]).numpy()
            rows = range(min(BATCH, count - len(pairs)))
            for row, label in zip(rows, batch["label"].numpy(), strict=False):
                guess = int(said[row].argmax())
                pairs.append((int(label), guess))
                if guess != label:
                    sure = said[row, guess]
                    caption = f"{names[label]}, taken for\n{names[guess]} {sure:.0%}"
                    wrong.append((sure, batch["image"][row], caption))
            wrong = sorted(wrong, key=lambda one: -one[0])[:WORST]
        shown: dict[str, Any] = {}
        labels, guesses = np.array(pairs).T
        if len(names) <= CLASSES:
            shown["confusion"] = confusion(labels, guesses, names)
        if wrong:
            seen = codec.unsee(tf.stack([picture for _, picture, _ in wrong])).numpy()
            shown["mistakes"] = sheet(seen, [caption for _, _, caption in wrong])
        return shown

    return [look]


def filters(model: keras.Model, layer: str) -> Evaluator:
    """The kernels of a first convolution as small pictures, each scaled by itself."""

    def look() -> dict[str, Any]:
        kernel = np.asarray(model.get_layer(layer).kernel)  # [h, w, in, out]
        kernels = np.moveaxis(kernel, -1, 0)
        low = kernels.min(axis=(1, 2, 3), keepdims=True)
        high = kernels.max(axis=(1, 2, 3), keepdims=True)
        scaled = (kernels - low) / np.maximum(high - low, 1e-12)
        return {"filters": sheet((scaled * 255).astype(np.uint8), [""] * len(kernels))}

    return look


def confusion(labels: np.ndarray, guesses: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """uint8 [H, W, 3]: how often each class (a row) was taken for each (a column)."""
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (labels, guesses), 1)

    def paint(figure: Any) -> None:
        axis = figure.add_subplot()
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axis.text(column, row, count, ha="center", va="center", color=colour, fontsize=7)
        axis.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0)
        axis.set_yticks(range(len(names)), names)
        axis.set_xlabel("taken for")
        axis.set_ylabel("is")

    return drawn(paint, width=5.5, height=5.5)


def sheet(pictures: np.ndarray, captions: Sequence[str], *, columns: int = 8) -> np.ndarray:
    """uint8 [H, W, 3] of pictures uint8 [n, h, w, C], in rows of so many, with a caption each."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    side, wide = 1.0, 1.2  # of a picture and of its place, inches
    tall = 1.45 if any(captions) else wide
    width, height = columns * wide, rows * tall

    def paint(figure: Any) -> None:
        for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
            row, column = divmod(i, columns)
            left, bottom = column * wide + (wide - side) / 2, (rows - 1 - row) * tall + 0.05
            axis = figure.add_axes(np.divide((left, bottom, side, side), (width, height) * 2))
            colours = picture if picture.shape[-1] == 3 else picture[..., 0]
            axis.imshow(colours, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set_title(caption, fontsize=7, pad=2)
            axis.set_axis_off()

    return drawn(paint, width=width, height=height, layout=None)


def drawn(
    paint: Callable[[Any], None],
    *,
    width: float,
    height: float,
    layout: Literal["constrained"] | None = "constrained",
) -> np.ndarray:
    """uint8 [H, W, 3] of what is painted on a figure of so many inches."""
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(width, height), dpi=100, layout=layout)
    paint(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(tf.io.decode_png(file.getvalue(), channels=3))
