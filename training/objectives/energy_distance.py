"""How far two samples are apart, without a network: the energy distance of Székely and Rizzo."""

import tensorflow as tf


def energy_distance(real: tf.Tensor, fake: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'|, without bias: 0 on average where both are alike.

    Székely and Rizzo 2013, equation 2.5. Pairs of a row with itself are left out; so it may be
    below 0 by chance.

    Args:
        real: [B, ...], x.
        fake: [M, ...] of the same shape behind, y.
        mask: float32 [B], 1 where a row of `real` counts, 0 elsewhere.

    Returns:
        float32 [], in the unit of the values. Where fewer than two rows count, their own distance
        counts as 0.
    """
    x, y = (tf.reshape(tf.cast(rows, tf.float32), [tf.shape(rows)[0], -1]) for rows in (real, fake))
    ones = tf.ones([tf.shape(y)[0]])
    between = _mean(_distances(x, y), mask[:, None] * ones)
    return (
        2 * between - _mean(_distances(x, x), _pairs(mask)) - _mean(_distances(y, y), _pairs(ones))
    )


def _distances(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Euclidean, [B, M]; by differences, for near points lose their digits in a product."""

    @tf.autograph.experimental.do_not_convert
    def from_row(row: tf.Tensor) -> tf.Tensor:
        return tf.norm(y - row, axis=1)

    return tf.map_fn(from_row, x, fn_output_signature=tf.float32)


def _pairs(mask: tf.Tensor) -> tf.Tensor:
    """1 where two different rows both count."""
    return mask[:, None] * mask - tf.linalg.diag(mask * mask)


def _mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), tf.reduce_sum(weights))
