"""Pictures that TensorFlow Datasets has prepared: the encoded files, held in memory.

--data-dir names a prepared version, such as ~/tensorflow_datasets/cifar10/3.0.2; nothing is
downloaded. A dataset larger than memory is better exported as a tree for --data=image_folder.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from training.data import trees
from training.data.encoded import Encoded
from training.data.image_folder import HELD_OUT, TRAIN
from training.data.labelled import Source


@dataclasses.dataclass(frozen=True, eq=False)
class Memory:
    """Files that are in memory: `training.data.trees.Tree`."""

    place: pathlib.Path
    names: Sequence[str]
    contents: Sequence[bytes]
    folders: Sequence[str] = ()

    @property
    def sizes(self) -> Sequence[int]:
        return [len(content) for content in self.contents]

    def content(self, number: int, most: int | None = None) -> bytes:
        return self.contents[number][:most]

    def path(self, number: int) -> str:
        return f"{self.place}/{self.names[number]}"

    def reader(self, numbers: np.ndarray) -> trees.Reader:
        return trees.from_python(self, numbers)


def read(data_dir: pathlib.Path | None) -> Source:
    """The splits "train" and "validation" or "test" of a dataset with an image and a class.

    Raises:
        ValueError: the package is missing, there is no such dataset, or it is of other things.
    """
    try:
        import tensorflow_datasets
    except ImportError:
        raise ValueError(
            "--data=tfds needs the package tensorflow-datasets; install it with uv sync "
            "--extra tfds, or pip install tensorflow-datasets."
        ) from None
    if data_dir is None:
        raise ValueError(
            "--data=tfds needs --data-dir, a prepared version of a dataset, such as "
            "~/tensorflow_datasets/cifar10/3.0.2."
        )
    try:
        builder = tensorflow_datasets.builder_from_directory(data_dir.expanduser())
    except (OSError, ValueError, tensorflow_datasets.core.DatasetNotFoundError) as error:
        raise ValueError(f"--data-dir={data_dir} holds no prepared dataset.") from error
    features = dict(builder.info.features.items())
    labels = features.get("label")
    if "image" not in features or not isinstance(labels, tensorflow_datasets.features.ClassLabel):
        raise ValueError(
            f"{data_dir} has the features {', '.join(features)}; to classify pictures it needs "
            "image and label."
        )
    held_out = next((name for name in HELD_OUT if name in builder.info.splits), None)
    if TRAIN not in builder.info.splits or held_out is None:
        raise ValueError(
            f"{data_dir} has the splits {', '.join(builder.info.splits)}; it needs train and one "
            f"of {', '.join(HELD_OUT)}."
        )
    raw = {"image": tensorflow_datasets.decode.SkipDecoding()}
    parts = [
        _part(data_dir, name, builder.as_dataset(split=name, decoders=raw))
        for name in (TRAIN, held_out)
    ]
    return Source(train=parts[0], eval=parts[1], labels=tuple(labels.names))


def _part(place: pathlib.Path, split: str, examples: Any) -> Encoded:
    found = [(one["image"], one["label"]) for one in examples.as_numpy_iterator()]
    names = [f"{split}/{number}" for number in range(len(found))]
    part = Encoded(
        tree=Memory(place, names, [content for content, _ in found]),
        numbers=np.arange(len(found)),
        labels=np.array([label for _, label in found], np.int32),
    )
    part.check()
    return part
