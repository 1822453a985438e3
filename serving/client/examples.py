"""Features by name -> tf.Example, for classify and regress.

A feature is a list of floats, of whole numbers, or of strings. Which one a model wants is in its
graph, and not in its signature, so here the values alone decide: 1.0 is a float, 1 is none.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from serving.client.errors import InvalidInput


class Class(NamedTuple):
    """One class of an example; the label is empty, or the score 0, where the model gives none."""

    label: str
    score: float


def write_input(
    message: Any, examples: Iterable[Mapping[str, Any]], context: Mapping[str, Any] | None
) -> None:
    """Fill the wire's Input; features in `context` are part of every example.

    Raises:
        InvalidInput: if there are no examples, or a feature has no form in one.
    """
    if isinstance(examples, Mapping):
        raise InvalidInput("examples are a list of features by name, [{...}], not one alone")
    listed = message.example_list if context is None else message.example_list_with_context
    for number, features in enumerate(examples):
        _write_example(listed.examples.add(), features, f"example {number}")
    if not listed.examples:
        raise InvalidInput("there must be at least one example")
    if context is not None:
        _write_example(listed.context, context, "the context")


def _write_example(example: Any, features: Mapping[str, Any], where: str) -> None:
    example.features.SetInParent()
    for name, value in features.items():
        try:
            field, values = _as_list(value)
        except ValueError as error:
            raise InvalidInput(f"{where}: feature {name!r} {error}") from error
        getattr(example.features.feature[name], field).value.extend(values)


def _as_list(value: Any) -> tuple[str, list[Any]]:
    """Which of an Example's three lists holds the value, and its elements.

    Raises:
        ValueError: if none of them does.
    """
    if isinstance(value, str | bytes):
        value = [value]
    array = np.asarray(value, object) if _holds_text(value) else np.asarray(value)
    if array.ndim > 1:
        raise ValueError(f"has shape {list(array.shape)}; a feature is a number or a flat list")
    elements = array.ravel().tolist()
    if array.dtype.kind == "f":
        return "float_list", elements
    if array.dtype.kind in "iub":
        if any(not -(2**63) <= element < 2**63 for element in elements):
            raise ValueError("has numbers beyond 64 bits")
        return "int64_list", [int(element) for element in elements]
    if elements and all(isinstance(element, str | bytes) for element in elements):
        return "bytes_list", [e.encode() if isinstance(e, str) else e for e in elements]
    raise ValueError(f"must be numbers or strings, not {value!r}")


def _holds_text(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(v, str | bytes) for v in value)


def classes_from_wire(result: Any) -> list[list[Class]]:
    """The classes of each example, in the model's order."""
    return [
        [Class(entry.label, entry.score) for entry in row.classes] for row in result.classifications
    ]


def values_from_wire(result: Any) -> np.ndarray[Any, Any]:
    """The value of each example, float32 [batch]."""
    return np.array([entry.value for entry in result.regressions], np.float32)
