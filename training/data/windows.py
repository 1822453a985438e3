"""A token stream as fixed-length windows: next-token prediction's only data shape."""

import dataclasses

import numpy as np
import tensorflow as tf

from training.data import order

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
        for name in order.SALT:
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
        seeds = order.seeds(split, seed)
        order.check(batch_size, start)
        stream = tf.constant(getattr(self, split), tf.int32)
        steps = max(1, min(64, GROUP // (batch_size * (self.context + 1))))  # per call

        @tf.autograph.experimental.do_not_convert
        def group(first: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = first * batch_size + tf.range(steps * batch_size, dtype=tf.int64)
            windows = _windows(stream, rows, seeds, self.context)
            windows = tf.reshape(windows, [steps, batch_size, self.context + 1])
            return {"tokens": windows[:, :, :-1], "targets": windows[:, :, 1:]}

        firsts = tf.data.Dataset.range(start, order.last(batch_size, less=steps), steps)
        return firsts.map(group).unbatch().prefetch(16).with_options(order.options())


def _windows(stream: tf.Tensor, rows: tf.Tensor, seeds: tuple[int, int], context: int) -> tf.Tensor:
    """Window number `rows` of an endless shuffled sequence: int64 [k] -> int32 [k, context + 1]."""
    count = tf.size(stream, tf.int64) - context
    starts = order.shuffled(rows, count, seeds)
    return tf.gather(stream, starts[:, tf.newaxis] + tf.range(context + 1, dtype=tf.int64))
