"""Convolutions that halve maps to 4 x 4, and others that double them again, as DCGAN has them.

Kernels of 4 with as many zeros on each side, batch normalisation. `config.statistics` says over
what batches are normalised. Biases, where there are any, are held at 0, as in the program of DCGAN
for Torch and those that grew from it: an optimizer moves them like all weights, and then they are
set back.
"""

import itertools
from typing import Any

import keras

from kmodels.core.normalisation import BatchNormalization, batch_norm

FIRST = 4  # pixels a side of the smallest map
KERNEL = 4
WIDER = 5  # side of the kernels that nearly double
SLOPE = 0.2  # of the leaky ReLU


class Held(keras.constraints.Constraint):
    """What optimizers set biases back to after each step: 0."""

    def __call__(self, bias: keras.KerasTensor) -> keras.KerasTensor:
        return keras.ops.zeros_like(bias)


def normal(mean: float = 0.0) -> keras.initializers.Initializer:
    """Weights begin at N(0, 0.02), scales at N(1, 0.02)."""
    return keras.initializers.RandomNormal(mean=mean, stddev=0.02)


def norm(config: Any, name: str) -> BatchNormalization:
    """Batch normalisation whose scales begin about 1."""
    return batch_norm(config, name, gamma=normal(1.0))


def halved(
    x: keras.KerasTensor, config: Any, widths: tuple[int, ...], *, name: str
) -> keras.KerasTensor:
    """Maps of half the side for each width, leaky ReLUs behind; all but the first normalised."""
    for i, channels in enumerate(widths):
        x = keras.layers.Conv2D(
            channels,
            KERNEL,
            strides=2,
            padding="same",
            bias_constraint=Held(),
            kernel_initializer=normal(),
            name=f"{name}_{i}",
        )(x)
        x = norm(config, f"{name}_norm_{i}")(x) if i else x
        x = keras.layers.LeakyReLU(negative_slope=SLOPE, name=f"{name}_bend_{i}")(x)
    return x


def ended(
    x: keras.KerasTensor, channels: int, *, name: str, dtype: str | None = None
) -> keras.KerasTensor:
    """A map of 4 x 4 to one of 1 x 1, bare."""
    return keras.layers.Conv2D(
        channels,
        FIRST,
        bias_constraint=Held(),
        kernel_initializer=normal(),
        dtype=dtype,
        name=name,
    )(x)


def doubled(
    x: keras.KerasTensor, config: Any, widths: tuple[int, ...], *, name: str, biases: bool
) -> keras.KerasTensor:
    """Maps of twice the side for each width, normalised, ReLUs behind; then a bare picture.

    A map of one place becomes one of 4 x 4 first.

    Args:
        biases: Whether there are any, held at 0.
    """
    for i, channels in enumerate((*widths, config.channels)):
        alone = x.shape[1] == 1
        x = keras.layers.Conv2DTranspose(
            channels,
            KERNEL,
            strides=1 if alone else 2,
            padding="valid" if alone else "same",
            use_bias=biases,
            bias_constraint=Held(),
            kernel_initializer=normal(),
            name=f"{name}_{i}",
        )(x)
        if i < len(widths):
            x = norm(config, f"{name}_norm_{i}")(x)
            x = keras.layers.ReLU(name=f"{name}_bend_{i}")(x)
    return x


def nearly_doubled(
    x: keras.KerasTensor, widths: tuple[int, ...], *, name: str
) -> keras.KerasTensor:
    """Maps of twice the side less 1 for each width, ReLUs behind all but the last.

    Without normalisation; with biases.
    """
    for i, channels in enumerate(widths):
        x = keras.layers.Conv2DTranspose(
            channels,
            WIDER,
            strides=2,
            activation="relu" if i < len(widths) - 1 else None,
            kernel_initializer="he_normal",
            name=f"{name}_{i}",
        )(x)
        x = keras.layers.Cropping2D(2, name=f"{name}_crop_{i}")(x)
    return x


def count(*widths: int, side: int = KERNEL, biases: bool = True) -> int:
    """How many parameters convolutions from each width to the next have."""
    return sum((side**2 * a + biases) * b for a, b in itertools.pairwise(widths))
