"""A token stream as fixed-length windows: next-token prediction's only data shape."""

import dataclasses

import numpy as np
import tensorflow as tf

SALT = {"train": 0x7261, "eval": 0x6576}  # keeps the two orders unrelated
GROUP = 1 << 18  # tokens made at once; fewer calls for small batches, little memory for large


def split(text: str) -> tuple[str, str]:
    """The first nine tenths, to train on, and the last tenth, to evaluate on, by characters."""
    cut = int(0.9 * len(text))
    return text[:cut], text[cut:]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TokenWindows:
    """Windows of `context` tokens from two token streams.

    Attributes:
        train: int32 [n].
        eval: int32 [m].
        context: Tokens in a window, at least 1; each split has more.
    """

    train: np.ndarray
    eval: np.ndarray
    context: int

    def __post_init__(self) -> None:
        if self.context < 1:
            raise ValueError(f"The context is {self.context}; a window has at least 1 token.")
        for name in SALT:
            length = len(getattr(self, name))
            if length < self.context + 1:
                raise ValueError(
                    f"The context of {self.context:,} tokens is longer than the text: its {name} "
                    f"split has {length:,} tokens and needs {self.context + 1:,}. "
                    "Lower --config.context or give more text."
                )

    def batches(self, split: str, batch_size: int, *, seed: int, start: int = 0) -> tf.data.Dataset:
        """Batches without end, from step `start` on; a step's batch depends on nothing else.

        Every window is drawn once per epoch, each epoch in a new order; a batch may span two
        epochs, and one larger than an epoch repeats windows. The order of "eval" does not depend
        on `seed`, so that evaluations compare.

        Returns:
            Dicts of `tokens` and `targets`, both int32 [batch_size, context] with values in
            [0, vocab); targets are the tokens one place later.

        Raises:
            ValueError: no such split, no windows in a batch, or a negative start.
        """
        if split not in SALT:
            raise ValueError(f"There is no split {split!r}. Allowed: 'train', 'eval'.")
        if batch_size < 1:
            raise ValueError(f"The batch size is {batch_size}; a batch has at least 1 window.")
        if start < 0:
            raise ValueError(f"The start is step {start}; steps count from 0.")
        seeds = (seed % 2**32 if split == "train" else 0, SALT[split])
        stream = tf.constant(getattr(self, split), tf.int32)
        steps = max(1, min(64, GROUP // (batch_size * (self.context + 1))))  # per call

        def group(first: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = first * batch_size + tf.range(steps * batch_size, dtype=tf.int64)
            windows = _windows(stream, rows, seeds, self.context)
            windows = tf.reshape(windows, [steps, batch_size, self.context + 1])
            return {"tokens": windows[:, :, :-1], "targets": windows[:, :, 1:]}

        last = np.iinfo(np.int64).max // batch_size - steps  # the end of int64, not of the data
        options = tf.data.Options()
        options.deterministic = True
        options.autotune.enabled = False
        firsts = tf.data.Dataset.range(start, last, steps)
        return firsts.map(group).unbatch().prefetch(16).with_options(options)


def _windows(stream: tf.Tensor, rows: tf.Tensor, seeds: tuple[int, int], context: int) -> tf.Tensor:
    """Window number `rows` of an endless shuffled sequence: int64 [k] -> int32 [k, context + 1]."""
    count = tf.size(stream, tf.int64) - context
    epochs = tf.cast(rows // count % 2**32, tf.uint32)
    first, second = (tf.fill(tf.shape(rows), tf.constant(seed, tf.uint32)) for seed in seeds)
    # The raw op: tf.random.experimental.index_shuffle pads a matrix of seeds along the wrong axis.
    starts = tf.raw_ops.RandomIndexShuffle(
        index=rows % count,
        seed=tf.stack([first, second, epochs], axis=1),
        max_index=count - 1,
        rounds=4,
    )
    return tf.gather(stream, starts[:, tf.newaxis] + tf.range(context + 1, dtype=tf.int64))
