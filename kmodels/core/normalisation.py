"""Normalisation as several papers have it: of local responses, and of batches."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's, but in training maps [B, H, W, C] are normalised by one operation, not by ten.

    Statistics of all replicas together, and rows [B, D], are left to Keras.
    """

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not (training and self.trainable) or self.synchronized or x.shape.rank != 4:
            return super().call(x, training=training)
        whole = tf.cast(x, tf.float32)
        y, mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
            x=whole,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), tf.float32)
        self._follow(self.moving_mean, mean)
        self._follow(self.moving_variance, unbiased * (count - 1) / count)
        return tf.cast(y, x.dtype)

    def _follow(self, moving: keras.Variable, value: tf.Tensor) -> None:
        moving.assign(moving * self.momentum + value * (1 - self.momentum))


class LayerNormalization(keras.layers.LayerNormalization):
    """Keras's, over the last axis, in fewer operations; float32 inside, any [..., D]."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        whole = _layered(self.epsilon)(tf.cast(x, tf.float32), tf.cast(self.gamma, tf.float32))
        whole = whole if self.beta is None else whole + tf.cast(self.beta, tf.float32)
        return tf.cast(whole, x.dtype)


def _layered(epsilon: float) -> Callable[..., tf.Tensor]:
    """Normalises [..., D] over its last axis, then scales, with its gradient written out."""

    def mean(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(values, -1, keepdims=True)

    @tf.custom_gradient
    def normalised(x: tf.Tensor, gamma: tf.Tensor) -> tuple[tf.Tensor, Any]:
        away = x - mean(x)
        scale = tf.math.rsqrt(mean(tf.square(away)) + epsilon)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            scaled = upstream * gamma
            slope = mean(scaled * away) * tf.square(scale)
            along = tf.reshape(upstream * away * scale, (-1, x.shape[-1]))
            return scale * (scaled - mean(scaled) - away * slope), tf.reduce_sum(along, 0)

        return away * scale * gamma, gradient

    made: Callable[..., tf.Tensor] = normalised
    return made


class GroupNormalization(keras.layers.GroupNormalization):
    """Keras's, over maps [B, H, W, C] of known sides, in fewer operations; float32 inside."""

    def call(self, x: tf.Tensor, offset: tf.Tensor | None = None) -> tf.Tensor:
        """Of x, or of x with an offset [B, C] at all its places."""
        height, width, channels = x.shape[1:]
        whole = tf.reshape(tf.cast(x, tf.float32), (-1, height * width, channels))
        gamma, beta = (tf.cast(v, tf.float32) for v in (self.gamma, self.beta))
        more = () if offset is None else (tf.cast(offset, tf.float32)[:, None],)
        whole = _grouped(self.groups, self.epsilon)(whole, gamma, beta, *more)
        return tf.cast(tf.reshape(whole, (-1, height, width, channels)), x.dtype)


def _grouped(groups: int, epsilon: float) -> Callable[..., tf.Tensor]:
    """Normalises maps [B, P, C] by groups of channels, then scales and shifts each channel.

    All that touches every number is written out, and its gradient too: places are averaged first
    and channels of a group after, for means over both at once have to move the numbers before, and
    a gradient found by rule goes over them twice as often. An offset [B, 1, C] that the maps are
    to have before goes into what is taken away from them.
    """

    def mean(values: tf.Tensor) -> tf.Tensor:
        """Over places: [B, 1, C]."""
        return tf.reduce_mean(values, 1, keepdims=True)

    def shared(values: tf.Tensor) -> tf.Tensor:
        """Means over a group's channels, for each of them: [B, 1, C]."""
        size = values.shape[2] // groups
        means = tf.reduce_mean(tf.reshape(values, (-1, 1, groups, size)), 3)
        return tf.gather(means, np.repeat(np.arange(groups), size), axis=2)

    @tf.custom_gradient
    def normalised(
        x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, *offset: tf.Tensor
    ) -> tuple[tf.Tensor, Any]:
        away = x - (shared(mean(x) + offset[0]) - offset[0] if offset else shared(mean(x)))
        scale = tf.math.rsqrt(shared(mean(tf.square(away))) + epsilon)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            level, slope = mean(upstream), mean(upstream * away)
            into = upstream * (scale * gamma)
            into -= away * (scale**3 * shared(gamma * slope))
            into -= scale * shared(gamma * level)
            along = tf.reduce_sum(slope * scale, (0, 1)), tf.reduce_sum(level, (0, 1))
            beside = tuple(tf.reduce_sum(into, 1, keepdims=True) for _ in offset)
            return into, *(x.shape[1] * each for each in along), *beside

        return away * (scale * gamma) + beta, gradient

    made: Callable[..., tf.Tensor] = normalised
    return made


def batch_norm(config: Any, name: str, *, gamma: Any = "ones") -> BatchNormalization:
    """Over a replica's batch or all, as `config.statistics` says; momentum 0.9, epsilon 1e-5."""
    return BatchNormalization(
        momentum=0.9,
        epsilon=1e-5,
        gamma_initializer=gamma,
        synchronized=config.statistics == "all",
        name=name,
    )


class LocalResponseNormalization(keras.layers.Layer):
    """Divides each value by its neighbours in channel (Krizhevsky et al. 2012, section 3.3).

    b = a / (k + s * sum of squares over the `size` channels around)**beta.

    The paper prints s = alpha = 1e-4. Its program divides alpha by the number of channels, s =
    alpha / size = 2e-5, and so does Caffe; `averaged` says which is meant. Any [..., C].
    """

    def __init__(
        self,
        *,
        averaged: bool = True,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 2.0,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self.radius, self.beta, self.k = size // 2, beta, k
        self.alpha = alpha / size if averaged else alpha

    def call(self, x: tf.Tensor) -> tf.Tensor:
        whole = tf.cast(x, tf.float32)  # there is no kernel for less, and squares need the range
        divided = tf.nn.local_response_normalization(
            whole, depth_radius=self.radius, bias=self.k, alpha=self.alpha, beta=self.beta
        )
        return tf.cast(divided, x.dtype)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """As it came."""
        return shape
