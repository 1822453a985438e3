"""Rows of numbers: for units that know neither pictures nor words."""

import dataclasses
import pathlib
from typing import Any

import tensorflow as tf

from kmodels.core.codecs import folder as codec_folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features:
    """A codec that gives numbers through, as they are or scaled, and names classes.

    Attributes:
        names: Of the features, in order.
        labels: Of the classes, in order.
        mean: Subtracted from what a network sees, one for each feature; empty subtracts nothing.
        deviation: Divides what is left; empty divides nothing.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @property
    def resources(self) -> tuple[Any, ...]:
        """Nothing: names and labels are constants of the graph."""
        return ()

    def see(self, values: tf.Tensor) -> tf.Tensor:
        """float32 [..., D] of the user's numbers -> the network's; traceable."""
        moved = values - tf.constant(self.mean) if self.mean else values
        return moved / tf.constant(self.deviation) if self.deviation else moved

    def unsee(self, seen: tf.Tensor) -> tf.Tensor:
        """float32 [..., D] of the network's numbers -> the user's; traceable."""
        moved = seen * tf.constant(self.deviation) if self.deviation else seen
        return moved + tf.constant(self.mean) if self.mean else moved

    def label(self, ids: tf.Tensor) -> tf.Tensor:
        """int32 [...] -> string [...]; traceable."""
        return tf.gather(tf.constant(self.labels), ids)

    def save(self, folder: pathlib.Path) -> None:
        """Writes `codec.json`."""
        codec_folder.save(folder, "features", **dataclasses.asdict(self))
