"""What Rosenblatt's rule goes down: how far on the wrong side of its threshold a unit is."""

import keras
import tensorflow as tf

from kmodels import perceptron
from training.step import WEIGHT, Batch, Logs


def perceptron_criterion(
    model: keras.Model, batch: Batch, *, training: bool
) -> tuple[tf.Tensor, Logs]:
    """Mean over examples of the sum over units of (fired - wanted) times the unit's sum.

    Its gradient with respect to a unit's weights is (fired - wanted) x, so one step of plain SGD on
    one example is Rosenblatt's rule: w += rate (wanted - fired) x, the bias included.

    Args:
        batch: `features` float32 [B, D]; `label` int32 [B, U], 1 where a unit should fire.
    """
    sums = model(batch["features"], training=training)
    fired = tf.cast(perceptron.fires(sums), tf.float32)
    wrong = tf.stop_gradient(fired - tf.cast(batch["label"], tf.float32))
    counted = batch.get("mask", tf.ones_like(wrong[:, 0]))[:, None]
    weight = tf.reduce_sum(counted)
    rows = tf.maximum(weight, 1.0)
    loss = tf.reduce_sum(counted * wrong * tf.cast(sums, tf.float32)) / rows
    errors = tf.reduce_sum(counted * tf.abs(wrong), axis=0) / rows  # by unit
    logs = {f"error_{i}": errors[i] for i in range(errors.shape[0])}
    return loss, {WEIGHT: weight, "error": tf.reduce_mean(errors), **logs}
