"""The random numbers that an objective needs, drawn for a batch before anything cuts it.

They are part of the batch, so an objective stays a pure function, and a row has the same numbers on
any number of replicas, in any micro-batch and in any lane. A model whose objective draws says what:
it has `draws`, key in the batch -> `rows.Draw`, and `seeds`, a `keras.random.SeedGenerator`, whose
state is one of its variables: checkpoints hold it, and a resumed run draws what it would have.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from kmodels.core.rows import Draw

Batch = dict[str, tf.Tensor]
EVALUATION = 0x6576616C  # keeps its numbers apart from those of training
KINDS = {"normal": tf.random.stateless_normal, "uniform": tf.random.stateless_uniform}


def added(batch: Batch, model: keras.Model, *, training: bool) -> Batch:
    """A replica's part of a batch with what is drawn for each of its rows, float32 [B, ...].

    New numbers at every step of a training, the same at every evaluation. Where the model draws
    nothing the batch stays as it is.
    """
    wanted: dict[str, Draw] = getattr(model, "draws", {})
    if not wanted:
        return batch
    seed = tf.cast(model.seeds.next(), tf.int32) if training else tf.constant([EVALUATION, 0])
    fold = tf.random.experimental.stateless_fold_in
    drawn = {
        key: _rows(KINDS[draw.kind], next(iter(batch.values())), draw.shape, fold(seed, number))
        for number, (key, draw) in enumerate(wanted.items())
    }
    return {**batch, **drawn}


def _rows(
    draw: Callable[..., tf.Tensor], like: tf.Tensor, shape: tuple[int, ...], seed: tf.Tensor
) -> tf.Tensor:
    """The numbers of as many rows, out of those of the global batch."""
    context, count = tf.distribute.get_replica_context(), tf.shape(like)[0]
    whole = draw([context.num_replicas_in_sync * count, *shape], seed=seed, alg="philox")
    first = context.replica_id_in_sync_group * count
    return tf.ensure_shape(whole[first : first + count], [like.shape[0], *shape])
