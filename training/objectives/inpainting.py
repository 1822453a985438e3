"""How well a network makes up what is missing from a picture: by pixels, and by a discriminator."""

from typing import Any

import tensorflow as tf

from training.objectives.minimax import Player
from training.objectives.non_saturating import steep
from training.step import WEIGHT, Batch, Logs

LEAST = 1e-10  # squared error at which the ratio of signal to noise ends: 100 dB


def inpainting(
    model: Any, batch: Batch, *, training: bool, player: Player = "discriminator"
) -> tuple[tf.Tensor, Logs]:
    """One player's loss; where there is no discriminator, the squared error (equation 1).

    The generator's is the squared error and, by `model.config.adversarial`, -log D in nats, as
    shares of 1 (Pathak et al. 2016, equation 3); the discriminator's is that of `minimax`, for real
    and made parts. The squared error is a mean over the pixels of the part that is made, in units
    in which pictures are -1 to 1; known pixels count `model.config.context` times.

    `image` is float32 [B, S, S, C] from -1 to 1; what is drawn says what is missing of it.

    Logs `l1` and `l2`, mean absolute and squared error of what is missing, and `psnr`, dB, all in
    units in which pictures are 0 to 1; in evaluation also `psnr_unfilled`, that of the mean colour.
    With a discriminator `generator_loss`; `fake`, what it says of what is made, 0 to 1; and `real`,
    of real parts, where it is its turn. Where the batch has a `mask` [B] of 0 and 1, all means are
    over the pictures with a 1.
    """
    image = tf.cast(batch["image"], tf.float32)
    missing = model.missing(batch)
    holed = model.holed(image, missing)
    made = tf.cast(model(holed, training=training), tf.float32)
    real, gone = model.part(image), model.part(missing)
    counted = batch.get("mask", tf.ones_like(image[:, 0, 0, 0]))
    weight = tf.reduce_sum(counted)

    def mean(values: tf.Tensor) -> tf.Tensor:
        """Of values [B], or of all there are of a row."""
        rows = tf.reduce_mean(tf.reshape(values, [tf.shape(counted)[0], -1]), axis=1)
        return tf.reduce_sum(rows * counted) / tf.maximum(weight, 1.0)

    error = mean(tf.where(gone, 1.0, model.config.context) * tf.square(made - real))
    logs = {name: mean(value) for name, value in errors(made, real, gone).items()}
    if not training:
        logs["psnr_unfilled"] = mean(errors(model.part(holed), real, gone)["psnr"])
    logs[WEIGHT] = weight
    if model.discriminator is None:
        return error, logs

    def judged(parts: tf.Tensor) -> tf.Tensor:
        return tf.cast(model.discriminator(parts, training=training), tf.float32)

    taken, share = judged(made), model.config.adversarial
    logs["generator_loss"] = (1 - share) * error + share * mean(steep(taken))
    logs["fake"] = mean(tf.sigmoid(taken))
    if player == "generator":
        return logs["generator_loss"], logs
    said = judged(real)
    logs["real"] = mean(tf.sigmoid(said))
    return mean(tf.nn.softplus(-said)) + mean(tf.nn.softplus(taken)), logs


def errors(made: tf.Tensor, real: tf.Tensor, gone: tf.Tensor) -> dict[str, tf.Tensor]:
    """`l1`, `l2` and `psnr` of the missing pixels of each picture, [B]; every picture has some.

    Args:
        made: float32 [B, P, P, C] from -1 to 1, as `real`.
        gone: bool [B, P, P, 1].
    """
    away = tf.where(gone, (made - real) / 2, 0.0)
    count = tf.reduce_sum(tf.cast(gone, tf.float32), axis=[1, 2, 3]) * made.shape[-1]
    squared = tf.reduce_sum(tf.square(away), axis=[1, 2, 3]) / count
    return {
        "l1": tf.reduce_sum(tf.abs(away), axis=[1, 2, 3]) / count,
        "l2": squared,
        "psnr": -10 / tf.math.log(10.0) * tf.math.log(tf.maximum(squared, LEAST)),
    }
