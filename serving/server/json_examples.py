"""JSON objects -> serialized tf.Examples: the bodies of classify and regress requests.

A feature is a value or a list of values of one kind: decimals become a float list, integers and
booleans an int64 list, strings and `{"b64": ...}` a bytes list.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2

from serving.server.errors import invalid_argument
from serving.server.json_input import Body
from serving.server.json_values import from_base64, is_base64, shown, type_name

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


def examples(body: Body) -> list[bytes]:
    """The body's `examples`, serialized, each behind the features of `context`.

    Raises:
        ServingError: INVALID_ARGUMENT if they are no examples.
    """
    fields: Mapping[str, Any] = body.fields
    context = _example(fields["context"]) if "context" in fields else b""
    if "examples" not in fields:
        raise invalid_argument(
            f"JSON Value: {shown(fields)} When method is classify, key 'examples' is expected "
            "and was not found"
        )
    given = fields["examples"]
    if not isinstance(given, list):
        raise invalid_argument(
            f"JSON Value: {shown(fields)} Expecting 'examples' value to be an list/array"
        )
    if not given:
        raise invalid_argument(f"JSON Value: {shown(fields)} 'examples' value is an empty array")
    return [context + _example(value) for value in given]


def _example(value: Any) -> bytes:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_name(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        feature = example.features.feature[name]
        for element in content if isinstance(content, list) else [content]:
            kind, number = _element(element, name)
            present = feature.WhichOneof("kind") or kind
            if present != kind:
                raise invalid_argument(
                    f"Unexpected element type in feature: {name} expecting type: {_KINDS[present]}"
                )
            getattr(feature, kind).value.append(number)
    serialized: bytes = example.SerializeToString()
    return serialized


def _element(value: Any, name: str) -> tuple[str, Any]:
    """The list of a Feature that a value belongs to, and the value as it stands there."""
    if isinstance(value, bool):
        return "int64_list", int(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise invalid_argument(f"Feature: {name} has uint64 element. Only int64 is supported.")
        return "int64_list", value
    if isinstance(value, float):
        if math.isfinite(value) and abs(value) > _LARGEST_FLOAT:
            raise invalid_argument(
                f"Cannot convert JSON value: {shown(value)} to float without loss of precision."
            )
        return "float_list", value
    if isinstance(value, str):
        return "bytes_list", value.encode("utf-8", "surrogatepass")
    if is_base64(value):
        return "bytes_list", from_base64(value)
    raise invalid_argument(
        f"Feature: {name} has element with unexpected JSON type: {type_name(value)}"
    )
