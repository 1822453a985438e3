"""An average of the weights over the steps, which is evaluated and exported in their place."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from training.config import Recipe


class Average:
    """The exponential moving average of a model's trainable weights (Karras et al. 2022, table 7).

    It starts at the weights as they are. What is not trained, such as the statistics of a batch
    normalisation, is not averaged. Make it inside the strategy's scope.

    Args:
        half_life: Examples after which a weight counts half.
        batch_size: Examples in one step, over all replicas.
    """

    def __init__(self, model: keras.Model, *, half_life: int, batch_size: int) -> None:
        self.weights = model.trainable_variables
        self.variables = [_twin(v) for v in self.weights]
        self.decay = 0.5 ** (batch_size / half_life)

    def update(self) -> None:
        """a -= (1 - decay) * (a - w); called in a replica's context, after the step."""
        share = tf.constant(1 - self.decay)

        def mix(average: tf.Variable, weight: tf.Tensor) -> None:
            average.assign_sub(share * (average - weight))

        def everywhere(strategy: tf.distribute.Strategy) -> None:
            for average, weight in zip(self.variables, self.weights, strict=True):
                strategy.extended.update(average.value, mix, args=(weight.value,), group=False)

        tf.distribute.get_replica_context().merge_call(everywhere)

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """The model has the averaged weights inside, and its own again afterwards, to the bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for average, weight in zip(self.variables, self.weights, strict=True):
            kept = tf.identity(weight.value)
            weight.assign(tf.identity(average.value))
            average.assign(kept)


def of(model: keras.Model, recipe: Recipe) -> Average | None:
    """The average that a recipe asks for; None without one."""
    if not recipe.average_half_life:
        return None
    return Average(model, half_life=recipe.average_half_life, batch_size=recipe.batch_size)


def _twin(variable: keras.Variable) -> keras.Variable:
    """A new variable of the same value and path."""
    *scopes, name = variable.path.split("/")
    with contextlib.ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(keras.name_scope(scope))
        return keras.Variable(tf.identity(variable.value), name=name, trainable=False)
