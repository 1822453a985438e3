"""Activations in the operations that are fastest for what they are asked here."""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import ops


def gelu(x: tf.Tensor, *, approximate: bool) -> tf.Tensor:
    """x times the share of normal draws below x (Hendrycks & Gimpel 2016, section 2), any shape.

    Args:
        approximate: By a tanh, as OpenAI's programs have it; else exactly, float32 inside.
    """
    if approximate:
        return ops.gelu(x, approximate=True)
    return tf.cast(_exact(tf.cast(x, tf.float32)), x.dtype)


def silu(x: tf.Tensor) -> tf.Tensor:
    """x times its logistic function (Hendrycks & Gimpel 2016, section 2), any shape.

    As h + h tanh(h) with h = x / 2. What the CPU library has for the product takes longer for maps
    of one row: it wakes threads for some thousand numbers.
    """
    half = 0.5 * x
    return half + half * ops.tanh(half)


@tf.custom_gradient
def _exact(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], Any]]:
    """xΦ(x), and its slope Φ(x) + xφ(x): a slope found by rule needs Φ and φ once more."""
    share = 0.5 * (1 + tf.math.erf(x * math.sqrt(0.5)))

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        density = tf.exp(-0.5 * tf.square(x)) / math.sqrt(2 * math.pi)
        return upstream * (share + x * density)

    return x * share, gradient
