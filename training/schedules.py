"""The learning rate at a step, from the values of `training.optimization`."""

import math

import keras
import tensorflow as tf

from training import optimization
from training.config import ScheduleChoice


class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """The rate at a step, the first being 0: the peak times the schedule's share.

    Args:
        peak: The optimizer's learning_rate.
        steps: The run's last step, where what falls has fallen.
        updates: Calls of the optimizer in one step.
    """

    def __init__(
        self, peak: float, schedule: ScheduleChoice, steps: int, *, updates: int = 1
    ) -> None:
        super().__init__()
        self.updates = updates
        self.peak, self.schedule, self.steps = peak, schedule, steps
        self.reduced: keras.Variable | None = None  # a plateau's share

    def keep(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Makes what a plateau remembers, among the optimizer's variables."""
        if not isinstance(self.schedule, optimization.Plateau):
            return
        lowest = keras.initializers.Constant(tf.float32.max)  # finite, for the guards
        self.reduced = optimizer.add_variable((), initializer="ones", name="plateau_share")
        self.lowest = optimizer.add_variable((), initializer=lowest, name="plateau_lowest")
        self.waited = optimizer.add_variable((), initializer="zeros", name="plateau_waited")

    def watched(self, value: float) -> None:
        """Takes the watched number of an evaluation; a plateau lowers the rate by it."""
        schedule = self.schedule
        if not isinstance(schedule, optimization.Plateau) or self.reduced is None:
            return
        if value < float(self.lowest.numpy()) - schedule.min_delta:
            self.lowest.assign(value)
            self.waited.assign(0.0)
            return
        self.waited.assign_add(1.0)
        if float(self.waited.numpy()) >= schedule.patience:
            self.reduced.assign(self.reduced * schedule.factor)
            self.waited.assign(0.0)

    def __call__(self, update: tf.Tensor) -> tf.Tensor:
        step = tf.cast(tf.cast(update, tf.int64) // self.updates, tf.float32)
        if self.reduced is not None:
            return self.peak * tf.convert_to_tensor(self.reduced)
        warmup = float(getattr(self.schedule, "warmup_steps", 0))
        if isinstance(self.schedule, optimization.InverseSqrt):
            scale = math.sqrt(warmup if self.schedule.width is None else 1 / self.schedule.width)
            number = step + 1
            return self.peak * scale * tf.minimum(number**-0.5, number * warmup**-1.5)
        rising = (step + 1) / (warmup + 1)
        done = tf.clip_by_value((step - warmup) / max(self.steps - warmup, 1.0), 0.0, 1.0)
        return self.peak * tf.where(step < warmup, rising, _share(self.schedule, step, done))


def _share(schedule: ScheduleChoice, step: tf.Tensor, done: tf.Tensor) -> tf.Tensor:
    """The share of the peak after the rise, `done` of the way to the last step."""
    match schedule:
        case optimization.Step():
            passed = tf.reduce_sum(
                tf.cast(step >= tf.constant(schedule.boundaries, step.dtype), step.dtype)
            )
            return schedule.factor**passed
        case optimization.Cosine():
            falling = 0.5 * (1 + tf.cos(math.pi * done))
        case optimization.Linear():
            falling = 1 - done
        case optimization.Polynomial():
            falling = (1 - done) ** schedule.power
        case _:
            return tf.ones_like(done)
    return schedule.final + (1 - schedule.final) * falling
