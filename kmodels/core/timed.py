"""How a network that tells noise is told the time, and a class where it knows some.

What it is told of a row has the same bits in every batch (decision 0032).

Shapes: B batch, E of what it is told.
"""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kmodels.core import activations, rows
from kmodels.core.denoising import NO_LABEL

VECTOR = 16  # numbers that a processor's widest instruction takes; those left over go another way


class Sinusoid(keras.layers.Layer):
    """Times [B] to their sines, then cosines, [B, width]; the slowest is 10,000 times slower."""

    def __init__(self, width: int, *, name: str) -> None:
        super().__init__(name=name)
        self.half = width // 2
        rates = np.exp(-math.log(10_000) * np.arange(self.half) / (self.half - 1))
        self.rates = np.pad(rates, (0, -self.half % VECTOR)).astype(np.float32)

    def call(self, times: tf.Tensor) -> tf.Tensor:
        angles = ops.cast(times, "float32")[:, None] * self.rates
        waves = [wave(angles)[:, : self.half] for wave in (ops.sin, ops.cos)]
        return ops.cast(ops.concatenate(waves, axis=-1), self.compute_dtype)


class RowsDense(keras.layers.Dense):
    """A linear layer for rows [B, E] that multiplies one row as it multiplies several."""

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        made: tf.Tensor = rows.together(super().call, x)
        return made


def told(width: int, size: int, *, labels: int) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Inputs for times int32 [B] and, if any, labels int32 [B]; and what they say, [B, size].

    Args:
        width: Of the sines and cosines.
        labels: Classes; a label of -1 is none of them, and a row of the table of its own.
    """
    inputs = [keras.Input((), dtype="int32", name="times")]
    time = Sinusoid(width, name="sinusoid")(inputs[0])
    time = RowsDense(size, activation=activations.silu, name="time_1")(time)
    time = RowsDense(size, name="time_2")(time)
    if labels:
        inputs.append(keras.Input((), dtype="int32", name="labels"))
        wide = keras.initializers.RandomNormal(stddev=1.0)
        table = keras.layers.Embedding(1 + labels, size, embeddings_initializer=wide, name="label")
        time = time + table(inputs[-1] - NO_LABEL)  # the first row is that of no label
    return inputs, time


def param_count(width: int, size: int, *, labels: int) -> int:
    """How many parameters `told` makes."""
    return (width + 1) * size + (size + 1) * size + ((1 + labels) * size if labels else 0)
