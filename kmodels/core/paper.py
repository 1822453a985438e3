"""What a paper module offers. The module itself is the interface; nothing is inherited."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Citation:
    """Where a model was published."""

    title: str
    authors: str
    year: int
    url: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One named way to call an exported model.

    Attributes:
        function: Takes the inputs by name as tensors and returns a dict of tensors.
        inputs: Name -> `tf.TensorSpec`; the batch dimension is None.
        defaults: Name -> value of shape [1] (any trailing shape) for the inputs a caller may
            leave out; the function broadcasts it over the batch.
        example: Name -> value; a request of at least two rows, replayed as warmup and in the
            export check, whole and its first row alone.
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: Mapping[str, tf.TensorSpec]
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    example: Mapping[str, Any]


class Paper(Protocol):
    """A module in `kmodels/`. `config` is always the paper's own frozen dataclass."""

    __name__: str
    __doc__: str | None
    PAPER: Citation
    PRESETS: Mapping[str, Any]

    def build(self, config: Any) -> keras.Model:
        """The Keras model, its weights created and initialised."""

    def param_count(self, config: Any) -> int:
        """How many trainable parameters `build(config)` makes, without making them."""

    def endpoints(self, model: keras.Model, codec: Any) -> dict[str, Endpoint]:
        """Name -> endpoint; `serving_default` is always one of them."""
