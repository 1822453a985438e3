"""When a run stops itself: what it has become can no longer turn into anything good."""

import collections
import math
import statistics
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from training import checkpoints
from training.config import Run

WINDOW = 20  # intervals whose median is the running level
FEWEST = 3  # intervals that make a level
RUNNING = 2  # intervals above the limit, one after another, that stop the run


class Diverged(Exception):
    """The run has stopped itself; the message is one sentence for the user."""


class Guard:
    """Looks at a run after every interval.

    All workers see the same means and the same weights, so all decide alike.

    Not finite: any logged mean, or any number in the learner's state. The loss of a step is that of
    the weights before it, so the weights are looked at themselves; and always before a save.

    Exploding: for two intervals running the mean loss lies above `recipe.loss_limit` times the
    running level, the median of the 20 intervals before (the median of their sizes, at least 1).
    With 100 as the limit no noise and no opponents' seesaw comes near it, nor does one bad batch
    that the run recovers from; a loss that doubles from interval to interval is stopped.

    Args:
        saver: Names the last good checkpoint.
    """

    def __init__(
        self, run: Run, state: Mapping[str, Sequence[keras.Variable]], saver: checkpoints.Saver
    ) -> None:
        self.run, self.saver = run, saver
        self.sizes: collections.deque[float] = collections.deque(maxlen=WINDOW)
        self.above = 0
        everything = [v for variables in state.values() for v in variables]
        self.numbers = [v for v in everything if tf.as_dtype(v.dtype).is_floating]
        self.sound = tf.function(self._sound, autograph=False)

    def train(self, step: int, logs: Mapping[str, float], *, count: int) -> None:
        """Raises Diverged where the `count` steps that ended at `step` did."""
        where = f"over steps {step - count + 1:,} to {step:,}"
        self._check_finite(logs, where)
        if not bool(self.sound()):
            raise self._diverged(f"weights or optimizer hold NaN or infinity after {where[5:]}")
        limit, loss = self.run.recipe.loss_limit, logs["loss"]
        level = max(statistics.median(self.sizes), 1.0) if len(self.sizes) >= FEWEST else math.inf
        self.above = self.above + 1 if limit is not None and loss > limit * level else 0
        if self.above == RUNNING:
            raise self._diverged(
                f"the loss has exploded: {loss:.4g} {where}, more than {limit:g} times its level "
                f"before, {level:.4g} (--loss-limit=None lets it)"
            )
        if not self.above:
            self.sizes.append(abs(loss))

    def eval(self, step: int, logs: Mapping[str, float]) -> None:
        """Raises Diverged where an evaluation's mean is not finite."""
        self._check_finite(logs, f"in the evaluation at step {step:,}")

    def _check_finite(self, logs: Mapping[str, float], where: str) -> None:
        for name, value in logs.items():
            if not math.isfinite(value):
                raise self._diverged(f"{name} is {value} {where}")

    def _sound(self) -> tf.Tensor:
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(v.value)) for v in self.numbers])

    def _diverged(self, what: str) -> Diverged:
        kept = self.saver.kept()
        last = (
            f"the last good checkpoint is {kept[-1]}, of step {int(kept[-1].name):,}"
            if kept
            else "no checkpoint had been saved"
        )
        tries = "a lower --optimizer.learning-rate, a longer --schedule.warmup-steps"
        if self.run.precision != "float32":
            tries += ", --precision=float32"
        begin = f" and --init-from={self.run.run_dir}" if kept else ""
        return Diverged(
            f"the run stopped itself, for {what}; {last}; try {tries} or a smaller "
            f"--optimizer.clip-norm, with another --run-dir{begin}."
        )
