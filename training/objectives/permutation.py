"""Which permutation has shuffled the tiles of a picture (Noroozi, Favaro 2016, section 3)."""

from typing import Any

import tensorflow as tf

from training.step import WEIGHT, Batch, Logs


def permutation(model: Any, batch: Batch, *, training: bool) -> tuple[tf.Tensor, Logs]:
    """Mean cross-entropy of the right permutation, nats.

    `image` float32 [B, S, S, C] holds whole pictures; `model.puzzles` makes of each a puzzle, as is
    drawn for it.

    Logs `error`, the share of puzzles of which another permutation is as likely as the right one.
    Where the batch has a `mask` [B] of 0 and 1, all means are over the puzzles with a 1.
    """
    tiles, answer = model.puzzles(batch)
    logits = tf.cast(model(tiles, training=training), tf.float32)
    counted = batch.get("mask", tf.ones_like(logits[:, 0]))
    weight = tf.reduce_sum(counted)

    def mean(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(values * counted) / tf.maximum(weight, 1.0)

    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=answer, logits=logits)
    own = tf.gather(logits, answer, batch_dims=1)[:, None]
    as_likely = tf.reduce_sum(tf.cast(logits >= own, tf.int32), axis=-1)
    wrong = tf.cast(as_likely > 1, tf.float32)
    return mean(losses), {WEIGHT: weight, "error": mean(wrong)}
