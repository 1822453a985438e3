"""What is done to training pictures so that a network does not learn them by heart.

Every function here gives a change of a batch: float32 [B, H, W, C], 0 to 255, and a seed
int64 [2], to a batch of the same shape, each picture changed in its own way.
"""

import numpy as np
import tensorflow as tf

from training.data.labelled import Change


def moved(most: int) -> Change:
    """Shifts by up to `most` places each way; black comes in (He et al. 2015, section 4.2).

    The same as padding by `most` and cutting out the old size anywhere.
    """

    def change(pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        count, height, width = (tf.shape(pictures)[i] for i in range(3))
        offsets = tf.random.stateless_uniform(
            [2, count], seed, minval=0, maxval=2 * most + 1, dtype=tf.int32
        )
        padded = tf.pad(pictures, [[0, 0], [most, most], [most, most], [0, 0]])
        down = offsets[0][:, None] + tf.range(height)[None]  # [B, H]
        across = offsets[1][:, None] + tf.range(width)[None]
        cut = tf.gather(tf.gather(padded, down, batch_dims=1), across, axis=2, batch_dims=1)
        return tf.ensure_shape(cut, pictures.shape)

    return change


def mirrored() -> Change:
    """Every second picture, on average, left to right."""

    def change(pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        count, width = tf.shape(pictures)[0], tf.shape(pictures)[2]
        heads = tf.random.stateless_uniform([count, 1], seed) < 0.5
        columns = tf.range(width)[None]
        across = tf.where(heads, columns[:, ::-1], columns)  # [B, W]
        return tf.gather(pictures, across, axis=2, batch_dims=1)

    return change


def coloured(covariance: np.ndarray) -> Change:
    """Colour noise: each picture, as a whole, is shifted along the axes of all pixels' colours.

    Along each eigenvector of the covariance by a draw of N(0, 0.1) times the eigenvalue
    (Krizhevsky et al. 2012, section 4.1). Colours count from 0 to 1 there: in units of 0 to 255
    the eigenvalues would be thousands.

    Args:
        covariance: [C, C], of the training pixels' colours, 0 to 255.
    """
    values, vectors = np.linalg.eigh(covariance / 255**2)
    axes = tf.constant(255 * values * vectors, tf.float32)  # a column each

    def change(pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        shape = [tf.shape(pictures)[0], len(values)]
        draws = tf.random.stateless_normal(shape, seed, stddev=0.1)
        noise = tf.matmul(draws, axes, transpose_b=True)[:, None, None]
        return pictures + tf.tile(noise, [1, 1, tf.shape(pictures)[2], 1])  # rows broadcast fast

    return change
