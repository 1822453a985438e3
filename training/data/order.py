"""In which order examples come: decided by a number alone, so a run can begin anywhere."""

import numpy as np
import tensorflow as tf

SALT = {"train": 0x7261, "eval": 0x6576}  # keeps the two orders unrelated


def seeds(split: str, seed: int) -> tuple[int, int]:
    """What decides the order of a split; that of "eval" does not depend on `seed`.

    Raises:
        ValueError: no such split.
    """
    if split not in SALT:
        raise ValueError(f"There is no split {split!r}. Allowed: 'train', 'eval'.")
    return (seed % 2**32 if split == "train" else 0, SALT[split])


def shuffled(rows: tf.Tensor, count: tf.Tensor, seeds: tuple[int, int]) -> tf.Tensor:
    """Place `rows` of an endless sequence: int64 [k] -> int64 [k] in [0, count).

    Every number comes once per epoch of `count` places, each epoch in a new order.
    """
    epochs = tf.cast(rows // count % 2**32, tf.uint32)
    first, second = (tf.fill(tf.shape(rows), tf.constant(seed, tf.uint32)) for seed in seeds)
    # The raw op: tf.random.experimental.index_shuffle pads a matrix of seeds along the wrong axis.
    return tf.raw_ops.RandomIndexShuffle(
        index=rows % count,
        seed=tf.stack([first, second, epochs], axis=1),
        max_index=count - 1,
        rounds=4,
    )


def check(batch_size: int, start: int) -> None:
    """Raises ValueError for a batch without examples or a step before the first."""
    if batch_size < 1:
        raise ValueError(f"The batch size is {batch_size}; a batch has at least 1 example.")
    if start < 0:
        raise ValueError(f"The start is step {start}; steps count from 0.")


def last(batch_size: int, *, less: int = 1) -> int:
    """A number of batches that is the end of int64, not of the data."""
    return int(np.iinfo(np.int64).max // batch_size - less)


def options() -> tf.data.Options:
    """What every dataset has: its elements in order, and no tuning by TensorFlow.

    The end of a tuned iterator waits, now and then, for the tuner's next look, which is up to a
    minute away (TensorFlow 2.21): a run that is done would seem to hang.
    """
    chosen = tf.data.Options()
    chosen.deterministic = True
    chosen.autotune.enabled = False
    return chosen
