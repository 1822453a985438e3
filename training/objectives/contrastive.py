"""NT-Xent: a view is to find its twin among all views of the batch."""

from typing import Any

import keras
import tensorflow as tf

from training.step import WEIGHT, Batch, Logs

NEVER = 1e9  # taken off the similarity of a view to itself


def contrastive(model: keras.Model, batch: Batch, *, training: bool) -> tuple[tf.Tensor, Logs]:
    """Mean cross-entropy of finding the twin among 2N - 1 views, nats (SimCLR, equation 1).

    `image` is [n, 2, H, W, C], two views of each of this replica's pictures. The other views are
    those of the whole batch, N pictures on all replicas; gradients flow back to all of them. Where
    a batch is cut into micro-batches, each knows its own views alone.

    Logs `error`, the share of views to which another is at least as similar as the twin.

    Args:
        model: Gives [..., D]; has `temperature`.
    """
    pairs = tf.math.l2_normalize(tf.cast(model(batch["image"], training=training), tf.float32), -1)
    count = tf.shape(pairs)[0]
    everyone, first = _gathered(pairs)
    width = pairs.shape[-1]
    views, others = tf.reshape(pairs, [-1, width]), tf.reshape(everyone, [-1, width])
    own = 2 * first + tf.range(2 * count)
    similar = tf.matmul(views, others, transpose_b=True) / model.temperature
    similar -= NEVER * tf.one_hot(own, tf.shape(others)[0])
    twin = own + 1 - 2 * (own % 2)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=twin, logits=similar)
    nearest = tf.gather(similar, twin, batch_dims=1)[:, None]
    nearer = tf.reduce_sum(tf.cast(similar >= nearest, tf.int32), axis=1) > 1
    error = tf.reduce_mean(tf.cast(nearer, tf.float32))
    return tf.reduce_mean(losses), {WEIGHT: tf.cast(count, tf.float32), "error": error}


def _gathered(pairs: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """All replicas' rows in their order, and where this replica's begin; each has as many."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return pairs, 0
    return (
        context.all_gather(pairs, axis=0),
        context.replica_id_in_sync_group * tf.shape(pairs)[0],
    )
