"""What a network would do: worths of actions outside the graph that trains.

A network of dense layers is multiplied by NumPy, which for one state takes a tenth of what calling
a graph does; others are one call of a graph for all copies of a game together.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf


class Policy:
    """The worths that a model gives, from its weights as they were at the last `refresh`.

    Args:
        model: States [B, ...] to worths float32 [B, A].
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.actions = int(model.output.shape[-1])
        self.dense = _dense(model)
        self.weights: list[tuple[np.ndarray, np.ndarray]] = []
        self.graph: Callable[[tf.Tensor], tf.Tensor] | None = None
        if self.dense is None:
            spec = tf.TensorSpec([None, *model.input.shape[1:]], model.input.dtype)
            self.graph = tf.function(
                lambda states: model(states, training=False),
                input_signature=[spec],
                autograph=False,
            )

    def refresh(self) -> None:
        """Takes over the weights as they now are."""
        if self.dense is not None:
            self.weights = [(_now(layer.kernel), _now(layer.bias)) for layer in self.dense]

    def worths(self, states: np.ndarray) -> np.ndarray:
        """float32 [B, A] of states [B, ...]."""
        if self.graph is not None:
            return np.asarray(self.graph(tf.constant(states)))
        x = states
        for i, (kernel, bias) in enumerate(self.weights):
            x = x @ kernel + bias
            if i < len(self.weights) - 1:
                np.maximum(x, 0, out=x)
        return x

    def act(
        self, states: np.ndarray, chances: np.ndarray, others: np.ndarray, epsilon: float
    ) -> np.ndarray:
        """The best action of each state, or another by chance: int32 [B].

        Args:
            chances: [B] in [0, 1); where one lies below epsilon the other action is taken.
            others: int32 [B].
        """
        if epsilon >= 1:
            return others
        best = self.worths(states).argmax(-1).astype(np.int32)
        return np.where(chances < epsilon, others, best)


def _now(variable: keras.Variable) -> np.ndarray:
    return np.array(tf.convert_to_tensor(variable.value), np.float32)


def _dense(model: keras.Model) -> list[keras.layers.Dense] | None:
    """The layers of a network of dense layers with ReLU between them; None of any other."""
    found: list[keras.layers.Dense] = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            found.append(layer)
        elif not isinstance(layer, keras.layers.InputLayer | keras.layers.Flatten):
            return None
    *hidden, last = found
    bends = all(layer.activation is keras.activations.relu for layer in hidden)
    straight = last.activation is keras.activations.linear
    return found if bends and straight and len(model.input.shape) == 2 else None
