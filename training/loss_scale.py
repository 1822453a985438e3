"""The loss times a power of two, so that gradients in float16 do not vanish."""

import keras
import tensorflow as tf

from training.config import Run

INITIAL = 2.0**15
GOOD_STEPS = 2000


class LossScale:
    """Dynamic loss scaling (Micikevicius et al. 2018, sections 3.2 and 4.1.1).

    The scale starts at 2**15, doubles after 2000 steps in a row whose gradients were finite, and
    is halved, to no less than 1, by a gradient that was not; its step is skipped. The numbers are
    those of `keras.optimizers.LossScaleOptimizer`. Make it inside the strategy's scope.
    """

    def __init__(self) -> None:
        self.scale = keras.Variable(INITIAL, name="scale", dtype="float32", trainable=False)
        self.good = keras.Variable(0, name="good_steps", dtype="int32", trainable=False)
        self.variables = [self.scale, self.good]

    def update(self, finite: tf.Tensor) -> None:
        """Takes whether the last gradient was finite; called for all replicas at once."""
        good = tf.where(finite, self.good + 1, 0)
        full = good >= GOOD_STEPS
        halved = tf.maximum(self.scale / 2, 1.0)
        grown = tf.where(full, self.scale * 2, tf.convert_to_tensor(self.scale))
        self.scale.assign(tf.where(finite, grown, halved))
        self.good.assign(tf.where(full, 0, good))


def of(run: Run) -> LossScale | None:
    """The scale of a run in float16; None in any other precision."""
    return LossScale() if run.precision == "mixed_float16" else None
