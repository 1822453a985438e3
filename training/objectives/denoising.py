"""How well a network tells the noise in a picture, at a random time (DDPM, equation 14)."""

from typing import Any

import tensorflow as tf

from kmodels.core.denoising import NO_LABEL
from training import draws
from training.step import WEIGHT, Batch, Logs


def denoising(model: Any, batch: Batch, *, training: bool) -> tuple[tf.Tensor, Logs]:
    """Mean squared error of the noise that `model` predicts, over places and examples.

    `image` float32 [B, ...] is of -1 to 1. In training times are drawn uniformly from all T and
    `label` int32 [B] is hidden with the share `model.config.label_dropout`; an evaluation takes
    times that are evenly spread over the batch, the same noise each time, and all labels.

    Logs the error in the earlier and the later half of the times, `early` and `late`, each over
    the examples it has, as shares that add up to the loss. Where the batch has a `mask` [B] of 0
    and 1, all means are over the examples with a 1.
    """
    clean = tf.cast(batch["image"], tf.float32)
    count, most = tf.shape(clean)[0], model.process.steps
    noise = draws.normal(model, tf.shape(clean), training=training)
    at = _places(model, count, training=training)
    times = tf.minimum(tf.cast(at * most, tf.int32), most - 1)
    labels = _told(model, batch["label"], training=training) if model.labels else None
    noisy = model.process.noised(clean, noise, times)
    said = tf.cast(model(noisy, times, labels, training=training), tf.float32)
    errors = tf.reduce_mean(tf.square(said - noise), list(range(1, len(clean.shape))))
    counted = batch.get("mask", tf.ones_like(errors))
    weight = tf.reduce_sum(counted)

    def mean(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(values * counted) / tf.maximum(weight, 1.0)

    early = tf.where(at < 0.5, errors, 0.0)
    logs = {WEIGHT: weight, "early": mean(early), "late": mean(errors - early)}
    return mean(errors), logs


def _places(model: Any, count: tf.Tensor, *, training: bool) -> tf.Tensor:
    """Where in [0, 1) of the process each example is looked at, float32 [B]."""
    if training:
        return draws.uniform(model, [count], training=True)
    return (tf.range(count, dtype=tf.float32) + 0.5) / tf.cast(count, tf.float32)


def _told(model: Any, labels: tf.Tensor, *, training: bool) -> tf.Tensor:
    """The labels that the network is told, -1 for those it is not."""
    share = model.config.label_dropout
    if not training or not share:
        return labels
    hidden = draws.uniform(model, tf.shape(labels), training=True) < share
    return tf.where(hidden, NO_LABEL, labels)
