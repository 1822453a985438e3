"""How far a picture is from what an autoencoder makes of it."""

import keras
import tensorflow as tf

from training.step import WEIGHT, Batch, Logs


def reconstruction(model: keras.Model, batch: Batch, *, training: bool) -> tuple[tf.Tensor, Logs]:
    """Mean over pictures of a sum over pixels: cross-entropy in nats, or squared error.

    `model.config.output` says which: "logistic" pixels are chances of white, given as logits. What
    the encoder is shown may lack pixels; the error is that to the whole picture `image`, float32
    [B, S, S, C].

    Logs `squared_error`, of the picture that is made, summed over pixels too. Where the batch has a
    `mask` [B] of 0 and 1, all means are over the pictures with a 1.
    """
    image = batch["image"]
    pixels = tf.cast(model(shown(model, batch), training=training), tf.float32)
    counted = batch.get("mask", tf.ones_like(image[:, 0, 0, 0]))
    weight = tf.reduce_sum(counted)

    def mean(values: tf.Tensor) -> tf.Tensor:
        """Of values [B, S, S, C], summed over pixels."""
        rows = tf.reduce_sum(values, axis=(1, 2, 3))
        return tf.reduce_sum(rows * counted) / tf.maximum(weight, 1.0)

    squared = mean((model.picture(pixels) - image) ** 2)
    loss = squared
    if model.config.output == "logistic":
        loss = mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=image, logits=pixels))
    return loss, {WEIGHT: weight, "squared_error": squared}


def shown(model: keras.Model, batch: Batch) -> tf.Tensor:
    """`image` without `model.config.noise` of its pixels (Vincent et al. 2008, section 2.3).

    Missing are those whose `chance`, [B, S, S, 1] in [0, 1), is below that.
    """
    image = batch["image"]
    if not model.config.noise:
        return image
    return image * tf.cast(batch["chance"] >= model.config.noise, image.dtype)
