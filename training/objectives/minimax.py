"""The game of two networks as it was first written down: one value, which they pull both ways.

V(D, G) = mean log D(x) + mean log(1 - D(G(z))) (Goodfellow et al. 2014, equation 1). The
discriminator maximises it, the generator minimises it. An objective of a game takes `player` and
gives that player's loss; the other's weights are constants of its step.
"""

from collections.abc import Callable
from typing import Literal

import keras
import tensorflow as tf

from training.objectives.energy_distance import energy_distance
from training.step import WEIGHT, Batch, Logs

Player = Literal["discriminator", "generator"]


def minimax(
    model: keras.Model, batch: Batch, *, training: bool, player: Player = "discriminator"
) -> tuple[tf.Tensor, Logs]:
    """-V for the discriminator; for the generator the second term of V, nats.

    Otherwise as `play`. Where the discriminator is sure, the generator's gradient vanishes.
    """
    return play(model, batch, saturating, training=training, player=player)


def saturating(logits: tf.Tensor) -> tf.Tensor:
    """log(1 - D) of logits, which the generator minimises."""
    return -tf.nn.softplus(logits)


def play(
    model: keras.Model,
    batch: Batch,
    generators: Callable[[tf.Tensor], tf.Tensor],
    *,
    training: bool,
    player: Player,
) -> tuple[tf.Tensor, Logs]:
    """One player's loss.

    Real examples and made ones pass the discriminator one after the other, never in one batch, so
    that batch normalisation has statistics of each.

    Args:
        model: As `kmodels.gan.Adversaries`.
        batch: `image` or `features` [B, ...]; `latent` [B, Z], what was drawn for each row; `mask`
            [B] of 0 and 1 where only some real examples count.
        generators: From the discriminator's logits of what was made to the generator's loss of
            each.

    Returns:
        The loss, and logs: `generator_loss`; `fake`, what the discriminator says of what was made
        on average, 0 to 1; and `real`, of real examples, where it is the discriminator's turn. In
        evaluation also `energy_distance` of real and made ones.
    """
    real = batch["image" if "image" in batch else "features"]
    latents = model.prior.latents(batch["latent"])
    fake = tf.cast(model.generator(latents, training=training), tf.float32)
    taken = model.judge(fake, training=training)
    forged = tf.reduce_mean(generators(taken))
    logs = {"generator_loss": forged, "fake": tf.reduce_mean(tf.sigmoid(taken))}
    mask = batch.get("mask", tf.ones([tf.shape(real)[0]]))
    counted = tf.reduce_min(model.packed(mask), axis=1)
    logs[WEIGHT] = tf.reduce_sum(counted) * model.packing
    if player == "generator":
        return forged, logs

    def mean(values: tf.Tensor) -> tf.Tensor:
        return tf.math.divide_no_nan(tf.reduce_sum(values * counted), tf.reduce_sum(counted))

    said = model.judge(real, training=training)
    loss = mean(tf.nn.softplus(-said)) + tf.reduce_mean(tf.nn.softplus(taken))
    logs["real"] = mean(tf.sigmoid(said))
    if not training:
        logs["energy_distance"] = energy_distance(real, fake, mask)
    return loss, logs
