"""Cross-entropy of the right class, of auxiliary heads too where a network has some."""

import keras
import tensorflow as tf

from kmodels.core import classifying
from training.step import WEIGHT, Batch, Logs

MANY = 5  # classes above which the top-5 error says something


def classification(model: keras.Model, batch: Batch, *, training: bool) -> tuple[tf.Tensor, Logs]:
    """Mean cross-entropy of `label` given `image` or `features`, nats.

    `label` is int32 [B], or float32 [B, K], a distribution over the classes: smoothed or mixed
    labels are made where batches are. In training each auxiliary head adds its own cross-entropy
    times `model.auxiliary_weight` (GoogLeNet, section 5).

    Logs the share of examples of which another class is as likely as the right one, or five others
    are: `error` and `top_5_error`. Where the batch has a `mask` [B] of 0 and 1, all means are over
    the examples with a 1.
    """
    outputs = model(batch["image" if "image" in batch else "features"], training=training)
    label, logits = batch["label"], classifying.main(outputs)
    counted = batch.get("mask", tf.ones_like(logits[:, 0]))
    weight = tf.reduce_sum(counted)

    def mean(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(values * counted) / tf.maximum(weight, 1.0)

    losses = _cross_entropy(label, logits)
    if training and isinstance(outputs, dict):
        heads = [head for name, head in outputs.items() if name != "logits"]
        losses += model.auxiliary_weight * tf.add_n([_cross_entropy(label, h) for h in heads])
    right = label if label.shape.rank == 1 else tf.argmax(label, axis=-1, output_type=tf.int32)
    own = tf.gather(logits, right, batch_dims=1)[:, None]
    others = tf.reduce_sum(tf.cast(logits >= own, tf.int32), axis=-1) - 1
    logs = {WEIGHT: weight, "error": mean(tf.cast(others >= 1, tf.float32))}
    if logits.shape[-1] > MANY:
        logs["top_5_error"] = mean(tf.cast(others >= MANY, tf.float32))
    return mean(losses), logs


def _cross_entropy(label: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Of each row, float32 [B]."""
    logits = tf.cast(logits, tf.float32)
    if label.shape.rank == 1:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=label, logits=logits)
    return tf.nn.softmax_cross_entropy_with_logits(labels=label, logits=logits)
