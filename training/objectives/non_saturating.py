"""The game as it is mostly played: the generator maximises log D(G(z)).

Goodfellow et al. 2014, section 3: early on the discriminator is sure, log(1 - D(G(z))) is flat
there, and this is steep. Both have the same fixed point.
"""

import keras
import tensorflow as tf

from training.objectives import minimax
from training.step import Batch, Logs


def non_saturating(
    model: keras.Model, batch: Batch, *, training: bool, player: minimax.Player = "discriminator"
) -> tuple[tf.Tensor, Logs]:
    """-V for the discriminator; for the generator -log D(G(z)), nats; otherwise as `minimax`."""
    return minimax.play(model, batch, steep, training=training, player=player)


def steep(logits: tf.Tensor) -> tf.Tensor:
    """-log D of logits, which the generator minimises."""
    return tf.nn.softplus(-logits)
