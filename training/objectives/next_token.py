"""Cross-entropy of every next token (GPT-1, section 3.1, equation 1, as a mean)."""

import keras
import tensorflow as tf

from training.step import WEIGHT, Batch, Logs


def next_token(model: keras.Model, batch: Batch, *, training: bool) -> tuple[tf.Tensor, Logs]:
    """Mean negative log-probability of `targets` int32 [B, T] given `tokens` int32 [B, T], nats."""
    logits = model(batch["tokens"], training=training)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=batch["targets"], logits=logits)
    return tf.reduce_mean(losses), {WEIGHT: tf.cast(tf.size(losses), tf.float32)}
