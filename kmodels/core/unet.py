"""DDPM's U-Net: from pictures with noise, at a time, to the noise.

It halves the picture level by level and doubles it again; each level on the way up is also given
what the way down had there. Every block is told the time. At some levels all places look at each
other (attention). Ho, Jain, Abbeel 2020, appendix B; `config` is `kmodels.ddpm.Config`.

Shapes: B batch, S side, C channels of a picture, D of a map, E of the embedded time.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from kmodels.core import activations, timed
from kmodels.core.normalisation import GroupNormalization


def norm(config: Any, name: str) -> GroupNormalization:
    """Group normalisation with the authors' epsilon."""
    return GroupNormalization(config.groups, epsilon=1e-6, name=name)


class Conv2D(keras.layers.Conv2D):
    """Keras's; a picture of one channel gets another that is zero.

    The CPU library reads a kernel of one channel otherwise where there is one row (decision 0032).
    """

    def convolution_op(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if x.shape[-1] == 1:
            x = tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, 1]])
            kernel = tf.pad(kernel, [[0, 0], [0, 0], [0, 1], [0, 0]])
        return super().convolution_op(x, kernel)


class PlacesDense(keras.layers.Dense):
    """A linear layer at every place of maps [B, ..., D], as one product of matrices.

    Keras puts the places back before it adds the bias, which then is an operation of its own.
    """

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        y = super().call(ops.reshape(x, (-1, x.shape[-1])), training=training)
        return ops.reshape(y, (-1, *x.shape[1:-1], self.units))


def conv(channels: int, name: str, *, zero: bool = False, **options: Any) -> Conv2D:
    """3 x 3, sides kept; Glorot's uniform, which is the paper's initialisation, or zero."""
    start = "zeros" if zero else "glorot_uniform"
    return Conv2D(channels, 3, padding="same", kernel_initializer=start, name=name, **options)


def linear(channels: int, name: str, *, zero: bool = False, **options: Any) -> keras.layers.Dense:
    """`conv` of 1 x 1, for maps of one place."""
    start = "zeros" if zero else "glorot_uniform"
    return keras.layers.Dense(channels, kernel_initializer=start, name=name, **options)


class ResBlock(keras.layers.Layer):
    """Maps [B, S, S, D] and the embedded time [B, E] to maps with `channels`.

    Args:
        layer: `conv` or `linear`.
    """

    def __init__(
        self,
        config: Any,
        channels: int,
        *,
        layer: Callable[..., keras.layers.Layer] = conv,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self.norm_1, self.norm_2 = norm(config, "norm_1"), norm(config, "norm_2")
        self.conv_1, self.conv_2 = layer(channels, "conv_1"), layer(channels, "conv_2", zero=True)
        self.time = timed.RowsDense(channels, name="time")
        self.skip = PlacesDense(channels, name="skip")  # a 1 x 1 convolution
        self.dropout = keras.layers.Dropout(config.dropout)
        self.channels = channels

    def build(self, x_shape: tuple[int | None, ...], time_shape: tuple[int | None, ...]) -> None:
        """Makes all weights at once; Keras would trace `call` for them."""
        inside = (*x_shape[:-1], self.channels)
        self.norm_1.build(x_shape)
        self.conv_1.build(x_shape)
        self.time.build(time_shape)
        self.norm_2.build(inside)
        self.conv_2.build(inside)
        self.widens = x_shape[-1] != self.channels
        if self.widens:
            self.skip.build(x_shape)

    def call(self, x: tf.Tensor, time: tf.Tensor, training: bool = False) -> tf.Tensor:
        y = self.conv_1(activations.silu(self.norm_1(x)))
        y = self.norm_2(y, self.time(activations.silu(time)))
        y = self.conv_2(self.dropout(activations.silu(y), training=training))
        return (self.skip(x) if self.widens else x) + y


class Attention(keras.layers.Layer):
    """All places of maps [B, S, S, D] look at each other, with one head."""

    def __init__(self, config: Any, channels: int, *, name: str) -> None:
        super().__init__(name=name)
        self.channels = channels
        self.norm = norm(config, "norm")
        self.query, self.key, self.value = (
            PlacesDense(channels, name=part) for part in ("query", "key", "value")
        )
        self.out = PlacesDense(channels, kernel_initializer="zeros", name="out")

    def build(self, shape: tuple[int | None, ...]) -> None:
        for part in (self.norm, self.query, self.key, self.value, self.out):
            part.build(shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        height, width = x.shape[1:3]
        seen = ops.reshape(self.norm(x), (-1, height * width, self.channels))
        query = self.query(seen) * (1 / math.sqrt(self.channels))
        scores = ops.matmul(query, ops.swapaxes(self.key(seen), 1, 2))
        weights = ops.cast(ops.softmax(ops.cast(scores, "float32")), x.dtype)
        mixed = self.out(ops.matmul(weights, self.value(seen)))
        return x + ops.reshape(mixed, (-1, height, width, self.channels))


def unet(config: Any) -> keras.Model:
    """Pictures [B, S, S, C], times int32 [B] and, where it is told, labels -> noise, float32."""
    pictures = keras.Input((config.size, config.size, config.channels), name="pictures")
    inputs, time = timed.told(config.width, 4 * config.width, labels=config.labels)

    def block(x: tf.Tensor, level: int, name: str) -> tf.Tensor:
        channels = config.width * config.multipliers[level]
        x = ResBlock(config, channels, name=name)(x, time)
        attends = config.sides[level] in config.attention
        return Attention(config, channels, name=f"{name}_attention")(x) if attends else x

    last = len(config.multipliers) - 1
    x = conv(config.width, "first")(pictures)
    seen = [x]
    for level in range(last + 1):
        for i in range(config.blocks):
            x = block(x, level, f"down_{level}_{i}")
            seen.append(x)
        if level < last:
            x = conv(x.shape[-1], f"halve_{level}", strides=2)(x)
            seen.append(x)
    x = ResBlock(config, x.shape[-1], name="middle_0")(x, time)
    x = Attention(config, x.shape[-1], name="middle_attention")(x)
    x = ResBlock(config, x.shape[-1], name="middle_1")(x, time)
    for level in reversed(range(last + 1)):
        for i in range(config.blocks + 1):
            x = block(ops.concatenate([x, seen.pop()], axis=-1), level, f"up_{level}_{i}")
        if level > 0:
            x = keras.layers.UpSampling2D(name=f"twice_{level}")(x)  # nearest
            x = conv(x.shape[-1], f"double_{level}")(x)
    x = activations.silu(norm(config, "norm")(x))
    noise = conv(config.channels, "noise", zero=True, dtype="float32")(x)
    return keras.Model([pictures, *inputs], noise, name="unet")


def param_count(config: Any) -> int:
    """How many parameters `unet(config)` makes."""
    told = 4 * config.width

    def layer(inside: int, outside: int, places: int = 1) -> int:
        return (places * inside + 1) * outside

    def block(inside: int, outside: int) -> int:
        skip = layer(inside, outside) if inside != outside else 0
        convolutions = layer(inside, outside, 9) + layer(outside, outside, 9)
        return 2 * (inside + outside) + convolutions + layer(told, outside) + skip

    def attention(width: int) -> int:
        return 2 * width + 4 * layer(width, width)

    count = timed.param_count(config.width, told, labels=config.labels)
    count += layer(config.channels, config.width, 9)
    now: int = config.width
    seen = [now]
    widths = [config.width * by for by in config.multipliers]
    attends = [side in config.attention for side in config.sides]
    for width, has in zip(widths, attends, strict=True):
        for _ in range(config.blocks):
            count, now = count + block(now, width) + has * attention(width), width
            seen.append(now)
        if len(seen) < len(widths) * (config.blocks + 1):
            count += layer(now, now, 9)
            seen.append(now)
    count += 2 * block(now, now) + attention(now)
    for level, (width, has) in reversed(list(enumerate(zip(widths, attends, strict=True)))):
        for _ in range(config.blocks + 1):
            count, now = count + block(now + seen.pop(), width) + has * attention(width), width
        count += layer(now, now, 9) if level else 0
    return count + 2 * now + layer(now, config.channels, 9)
