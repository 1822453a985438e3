"""Rows of numbers, as they are: for units that know neither pictures nor words."""

import dataclasses
import pathlib
from typing import Any

import tensorflow as tf

from kmodels.core.codecs import folder as codec_folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features:
    """A codec that gives numbers through and names classes.

    Attributes:
        names: Of the features, in order.
        labels: Of the classes, in order.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def resources(self) -> tuple[Any, ...]:
        """Nothing: names and labels are constants of the graph."""
        return ()

    def label(self, ids: tf.Tensor) -> tf.Tensor:
        """int32 [...] -> string [...]; traceable."""
        return tf.gather(tf.constant(self.labels), ids)

    def save(self, folder: pathlib.Path) -> None:
        """Writes `codec.json`."""
        codec_folder.save(folder, "features", **dataclasses.asdict(self))
