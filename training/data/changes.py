"""What is done to training pictures so that a network does not learn them by heart.

Every function here gives a change of a batch: float32 [B, H, W, C], 0 to 255, and a seed
int64 [2], to a batch of the same shape, each picture changed in its own way.
"""

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
        heads = tf.random.stateless_uniform([tf.shape(pictures)[0]], seed) < 0.5
        return tf.where(heads[:, None, None, None], pictures[:, :, ::-1], pictures)

    return change
