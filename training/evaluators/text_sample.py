"""A piece of text the model writes, through the very endpoint that is exported."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kmodels.core.paper import Endpoint

NEW_TOKENS = 160


def make(
    model: keras.Model, endpoint: Endpoint, *, prompt: str, new_tokens: int = NEW_TOKENS
) -> Callable[[], dict[str, Any]]:
    """A function that gives {"sample": prompt and continuation}, drawn at temperature 0.8.

    The graph is traced at the first call; later ones read the weights as they then are.
    """
    generate = tf.function(endpoint.function, autograph=False)
    defaults = {k: tf.constant(v, endpoint.inputs[k].dtype) for k, v in endpoint.defaults.items()}
    defaults["max_new_tokens"] = tf.constant([new_tokens])
    defaults["temperature"] = tf.constant([0.8])

    def look() -> dict[str, Any]:
        answer = generate(prompt=tf.constant([prompt]), **defaults)
        return {"sample": prompt + answer["text"].numpy()[0].decode()}

    return look
