"""How well a network tells the noise in an example, at a random time (DDPM, equation 14)."""

from typing import Any

import tensorflow as tf

from kmodels.core.denoising import NO_LABEL
from training.step import WEIGHT, Batch, Logs


def denoising(model: Any, batch: Batch, *, training: bool) -> tuple[tf.Tensor, Logs]:
    """Mean squared error of the noise that `model` predicts, over places and examples.

    `image` float32 [B, ...] is of -1 to 1, or there are `features` [B, D]; `noise` is of the same
    shape. An example is looked at after the share `time` [B] of all T steps; in training its
    `label` int32 [B] is hidden where `hidden` [B] is below `model.config.label_dropout`.

    Logs the error in the earlier and the later half of the times, `early` and `late`, each over
    the examples it has, as shares that add up to the loss. Where the batch has a `mask` [B] of 0
    and 1, all means are over the examples with a 1.
    """
    clean = tf.cast(batch["image" if "image" in batch else "features"], tf.float32)
    noise, at = batch["noise"], batch["time"]
    most = model.process.steps
    times = tf.minimum(tf.cast(at * most, tf.int32), most - 1)
    noisy = model.process.noised(clean, noise, times)
    said = model(noisy, times, _told(model, batch, training=training), training=training)
    errors = tf.square(tf.cast(said, tf.float32) - noise)
    errors = tf.reduce_mean(errors, list(range(1, len(clean.shape))))
    counted = batch.get("mask", tf.ones_like(errors))
    weight = tf.reduce_sum(counted)

    def mean(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(values * counted) / tf.maximum(weight, 1.0)

    early = tf.where(at < 0.5, errors, 0.0)
    logs = {WEIGHT: weight, "early": mean(early), "late": mean(errors - early)}
    return mean(errors), logs


def _told(model: Any, batch: Batch, *, training: bool) -> tf.Tensor | None:
    """The labels that the network is told, -1 for those it is not; None where it takes none."""
    if not model.labels:
        return None
    if not training:
        return batch["label"]
    return tf.where(batch["hidden"] < model.config.label_dropout, NO_LABEL, batch["label"])
