"""Convolutions that halve maps to 4 x 4, and others that double them again, as DCGAN has them.

Kernels of 4 with as many zeros on each side, batch normalisation, no biases. `config.statistics`
says over what batches are normalised.
"""

import itertools
from typing import Any

import keras

from kmodels.core.normalisation import BatchNormalization, batch_norm

FIRST = 4  # pixels a side of the smallest map
KERNEL = 4
WIDER = 5  # side of the kernels that nearly double
SLOPE = 0.2  # of the leaky ReLU


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
            use_bias=False,
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
        use_bias=False,
        kernel_initializer=normal(),
        dtype=dtype,
        name=name,
    )(x)


def doubled(
    x: keras.KerasTensor, config: Any, widths: tuple[int, ...], *, name: str
) -> keras.KerasTensor:
    """Maps of twice the side for each width, normalised, ReLUs behind; then a bare picture.

    A map of one place becomes one of 4 x 4 first.
    """
    for i, channels in enumerate((*widths, config.channels)):
        alone = x.shape[1] == 1
        x = keras.layers.Conv2DTranspose(
            channels,
            KERNEL,
            strides=1 if alone else 2,
            padding="valid" if alone else "same",
            use_bias=False,
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


def kernels(*widths: int, side: int = KERNEL) -> int:
    """How many weights convolutions from each width to the next have, without biases."""
    return sum(side**2 * a * b for a, b in itertools.pairwise(widths))
