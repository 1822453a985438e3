"""What the data of a run decide: codec, classes, batches."""

import dataclasses
import hashlib
import importlib
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kmodels.core import zoo
from kmodels.core.codecs.features import Features
from kmodels.core.codecs.images import Images
from training.config import ImageCodecChoice, Recipe, UserError
from training.data.labelled import Change, Examples, Source
from training.loop import Data

SHOWN = 2  # held-out pictures that a codec keeps as examples


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What the data of a run decides.

    Attributes:
        config: The paper's config, complete.
        codec: Turns user values into batches; its `save(folder)` goes into the run.
        data: Batches.
        sha256: Of what was read; a run goes on with the same data only.
        prompt: A beginning of held-out data, for samples of text.
    """

    config: Any
    codec: Any
    data: Data
    sha256: str
    prompt: str = ""

    @classmethod
    def of(cls, config: Any, codec: Any, data: Data, text: str, *, prompt: str) -> "Prepared":
        """With the codec's vocabulary where the config leaves it open."""
        if config.vocab is None:
            config = dataclasses.replace(config, vocab=codec.vocab)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return cls(config=config, codec=codec, data=data, sha256=digest, prompt=prompt)


def read(recipe: Recipe, data_dir: pathlib.Path | None, allowed: Sequence[str]) -> Source:
    """Labelled examples of the family that the recipe names.

    Raises:
        UserError: no such family for this paper, or nothing usable in the folder.
    """
    if recipe.data not in allowed:
        raise UserError(zoo.unknown("data for this paper", recipe.data, list(allowed)))
    try:
        found: Source = importlib.import_module(f"training.data.{recipe.data}").read(data_dir)
    except ValueError as error:
        raise UserError(str(error)) from None
    return found


def pictures(
    config: Any,
    recipe: Recipe,
    source: Source,
    *,
    size: int,
    channels: int,
    codec: Images | None = None,
    changes: Sequence[Change] = (),
) -> Prepared:
    """Pictures for a network of such an input, centred and scaled by the training part.

    Args:
        codec: Another run's, to be taken as it is; None fits one.
        changes: What is done to training pictures; see `training.data.changes`.

    Raises:
        UserError: the config has another number of classes, or the codec's choices do not fit.
    """
    try:
        fitted = codec or fit(recipe.codec, source, size=size, channels=channels)
    except ValueError as error:
        raise UserError(str(error)) from None
    if tuple(fitted.labels) != source.labels:
        raise UserError(
            f"The data have the classes {', '.join(source.labels[:10])}, and the codec of the run "
            f"knows {', '.join(fitted.labels[:10])}."
        )

    def see(inputs: tf.Tensor) -> tf.Tensor:
        fits = tuple(inputs.shape[1:]) == (size, size, channels)
        return fitted.see(inputs if fits else fitted.fit(inputs))

    data = Examples(source=source, key="image", see=see, changes=changes)
    return Prepared(with_classes(config, fitted.labels), fitted, data, source.sha256)


def fit(choice: Any, source: Source, *, size: int, channels: int) -> Images:
    """The codec of a choice: mean and deviation of the training part where it leaves them open."""
    chosen = choice if isinstance(choice, ImageCodecChoice) else ImageCodecChoice()
    inputs = source.train.inputs
    axes = (0, 1, 2) if channels == inputs.shape[-1] else (0, 1, 2, 3)
    mean = np.mean(inputs, axis=axes, dtype=np.float64)
    squares = np.mean(np.square(inputs, dtype=np.float32), axis=axes, dtype=np.float64)
    deviation = np.sqrt(np.maximum(squares - mean**2, 1.0))
    own = [tuple(float(x) for x in np.atleast_1d(v.round(4))) for v in (mean, deviation)]
    if chosen.order == "bgr":
        own = [numbers[::-1] for numbers in own]
    return Images(
        labels=source.labels,
        size=size,
        channels=channels,
        short=chosen.short,
        mean=own[0] if chosen.mean is None else chosen.mean,
        deviation=own[1] if chosen.deviation is None else chosen.deviation,
        order=chosen.order,
        resample=chosen.resample,
        examples=tuple(png(p) for p in source.eval.inputs[:SHOWN]),
    )


def png(picture: np.ndarray) -> bytes:
    """uint8 [H, W, C] as a file."""
    return bytes(tf.io.encode_png(picture).numpy())


def features(config: Any, source: Source, *, codec: Features | None = None) -> Prepared:
    """Rows of numbers, as they are."""
    codec = codec or Features(names=source.names, labels=source.labels)
    data = Examples(source=source, key="features", see=tf.identity)
    return Prepared(with_classes(config, codec.labels), codec, data, source.sha256)


def with_classes(config: Any, labels: Sequence[str]) -> Any:
    """The config with as many classes as labels where it leaves them open.

    Raises:
        UserError: it has another number.
    """
    given = getattr(config, "classes", len(labels))
    if given is None:
        return dataclasses.replace(config, classes=len(labels))
    if given != len(labels):
        raise UserError(
            f"The data have {len(labels):,} classes and config.classes is {given:,}; give "
            f"--config.classes={len(labels)} or other data."
        )
    return config
