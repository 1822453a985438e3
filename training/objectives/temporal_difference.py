"""A step is worth its reward and what it leads to (Mnih et al. 2015, equation 2).

What it leads to is valued by the target network, which stands still meanwhile.
"""

from typing import Any

import keras
import tensorflow as tf

from training import agents
from training.step import ROWS, WEIGHT, Batch, Logs


def temporal_difference(
    model: keras.Model, batch: Batch, *, training: bool, agent: Any
) -> tuple[tf.Tensor, Logs]:
    """Mean Huber loss of the temporal difference, as tf-agents computes it.

    The derivative of Huber's loss is the difference, cut off at -1 and 1, which is what the paper
    means by clipping the error (Methods, "Training algorithm").

    Args:
        model: The agent's own network.
        batch: See `training.agents.experience`; where there is priority also `importance` float32
            [B], by which each row's loss is multiplied, and `place` int64 [B].
        agent: tf-agents' agent over the model and its target.

    Returns:
        The loss, and logs: `td_error`, the mean size of the difference; in evaluations `q`, the
        mean over the states of the worth of the best action. In training, where rows have a place,
        also the size of the difference of each row, as `ROWS`.
    """
    assert agent._q_network.model is model
    # The public method has a discount of 1 unless it is told; tf-agents' own training tells it.
    info = agent.loss(agents.experience(batch), gamma=agent._gamma, training=training)
    losses, errors = info.extra.td_loss, tf.abs(info.extra.td_error)
    if "importance" in batch:
        losses *= batch["importance"]
    logs = {
        "td_error": tf.reduce_mean(errors),
        WEIGHT: tf.cast(tf.shape(losses)[0], tf.float32),
    }
    if training and "place" in batch:
        logs[ROWS] = errors
    if not training:
        logs["q"] = tf.reduce_mean(tf.reduce_max(model(batch["state"], training=False), axis=-1))
    return tf.reduce_mean(losses), logs
