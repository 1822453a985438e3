"""Examples with a class each, all in memory: pictures, or rows of numbers."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from training.data import order

Change = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # pictures and a seed to other pictures


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Examples and their classes.

    Attributes:
        inputs: uint8 [n, H, W, C], or float32 [n, D].
        labels: int32 [n], or [n, U] where each of U units has a question of its own.
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.labels):
            raise ValueError(
                f"There are {len(self.inputs):,} examples and {len(self.labels):,} labels."
            )
        if not len(self.inputs):
            raise ValueError("A split needs at least one example, and got none.")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """What a family of data gives.

    Attributes:
        train: To learn from.
        eval: Held out.
        labels: The names of the classes.
        names: Of the features, where the inputs are rows of numbers.
    """

    train: Split
    eval: Split
    labels: tuple[str, ...]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        most = int(max(self.train.labels.max(), self.eval.labels.max()))
        if self.train.labels.ndim == 1 and most >= len(self.labels):
            raise ValueError(
                f"A label is {most}, and there are {len(self.labels)} classes, numbered from 0."
            )

    @property
    def sha256(self) -> str:
        """Of all examples, labels and names."""
        digest = hashlib.sha256(repr((self.labels, self.names)).encode())
        for split in (self.train, self.eval):
            for array in (split.inputs, split.labels):
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Batches of a source: `training.loop.Data`.

    Attributes:
        source: The examples.
        key: What the inputs are called in a batch: "image" or "features".
        see: From float32 inputs, 0 to 255 for pictures, to what the network takes.
        changes: What is done to pictures of "train" before that, each with a seed of its own.
    """

    source: Source
    key: str
    see: Callable[[tf.Tensor], tf.Tensor]
    changes: Sequence[Change] = ()

    def batches(self, split: str, batch_size: int, *, seed: int, start: int = 0) -> tf.data.Dataset:
        """Batches without end, from step `start` on; a step's batch depends on nothing else.

        Every training example is drawn once per epoch, each epoch in a new order; a batch may span
        two epochs. Held-out examples come in their own order, and are counted once: those of
        further rounds have the mask 0, so that any number of batches that is enough gives the mean
        over exactly the whole split.

        Returns:
            Dicts of the inputs float32 [batch_size, ...], `label` int32 [batch_size] or
            [batch_size, U], and for "eval" `mask` float32 [batch_size], 1 or 0.

        Raises:
            ValueError: no such split, no examples in a batch, or a negative start.
        """
        seeds = order.seeds(split, seed)
        order.check(batch_size, start)
        part = self.source.train if split == "train" else self.source.eval
        inputs, labels = tf.constant(part.inputs), tf.constant(part.labels, tf.int32)
        count = tf.constant(len(part.inputs), tf.int64)

        def batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = step * batch_size + tf.range(batch_size, dtype=tf.int64)
            places = order.shuffled(rows, count, seeds) if split == "train" else rows % count
            seen = tf.cast(tf.gather(inputs, places), tf.float32)
            if split == "train":
                at = tf.stack([tf.constant(seeds[0], tf.int64), step])
                for number, change in enumerate(self.changes):
                    seen = change(seen, tf.random.experimental.stateless_fold_in(at, number))
            found = {self.key: self.see(seen), "label": tf.gather(labels, places)}
            if split == "eval":
                found["mask"] = tf.cast(rows < count, tf.float32)
            return found

        options = tf.data.Options()
        options.deterministic = True
        steps = tf.data.Dataset.range(start, order.last(batch_size))
        ready = steps.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
        return ready.with_options(options)
