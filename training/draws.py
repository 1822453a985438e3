"""Random numbers of objectives: new ones at every training step, the same at every evaluation.

A model whose objective draws has a `keras.random.SeedGenerator` as its attribute `seeds`. Its state
is one of the model's variables, so checkpoints hold it and a resumed run draws what it would have
drawn.
"""

from typing import Any

import keras
import tensorflow as tf

DRAW = "draw"  # in a batch: what was drawn for each of its rows
EVALUATION = 0x6576616C  # keeps its numbers apart from those of training


def normal(model: keras.Model, shape: Any, *, training: bool, number: int = 0) -> tf.Tensor:
    """Standard normal numbers, float32 of that shape; other ones in each replica.

    Args:
        model: Has `seeds`.
        number: Tells apart what one evaluation draws.
    """
    seed = _seed(model, training=training, number=number)
    return tf.random.stateless_normal(shape, seed=seed, alg="philox")


def uniform(model: keras.Model, shape: Any, *, training: bool, number: int = 0) -> tf.Tensor:
    """Numbers in [0, 1); otherwise as `normal`."""
    seed = _seed(model, training=training, number=number)
    return tf.random.stateless_uniform(shape, seed=seed, alg="philox")


def of_rows(model: keras.Model, batch: tf.Tensor, shape: Any) -> tf.Tensor:
    """Numbers in [0, 1), float32 [B, *shape], for this replica's rows of a training step.

    They are drawn for the global batch, so a row has the same ones on any number of replicas, and
    in any parts of a batch that holds them under the key `draw`.

    Args:
        model: Has `seeds`.
        batch: What has B rows.
        shape: Of a row.
    """
    context = tf.distribute.get_replica_context()
    rows = tf.shape(batch)[0]
    whole = [context.num_replicas_in_sync * rows, *shape]
    seed = tf.cast(model.seeds.next(), tf.int32)
    drawn = tf.random.stateless_uniform(whole, seed=seed, alg="philox")
    first = context.replica_id_in_sync_group * rows
    return tf.ensure_shape(drawn[first : first + rows], [batch.shape[0], *shape])


def _seed(model: keras.Model, *, training: bool, number: int) -> tf.Tensor:
    if not training:
        return tf.constant([EVALUATION, number])
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    drawn = tf.cast(model.seeds.next(), tf.int32)
    return tf.random.experimental.stateless_fold_in(drawn, replica)
