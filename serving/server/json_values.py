"""Single JSON values: what they are called, how they are quoted, what they may become."""

import base64
import binascii
import json
import math
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from serving.server.errors import Code, ServingError, invalid_argument

SHOWN_CHARACTERS = 1024  # of a value that is quoted in a refusal

FLOATS: dict[int, np.dtype[Any]] = {
    types_pb2.DT_FLOAT: np.dtype("<f4"),
    types_pb2.DT_DOUBLE: np.dtype("<f8"),
}
INTEGERS: dict[int, np.dtype[Any]] = {
    types_pb2.DT_INT8: np.dtype("i1"),
    types_pb2.DT_INT16: np.dtype("<i2"),
    types_pb2.DT_INT32: np.dtype("<i4"),
    types_pb2.DT_INT64: np.dtype("<i8"),
    types_pb2.DT_UINT8: np.dtype("u1"),
    types_pb2.DT_UINT32: np.dtype("<u4"),
    types_pb2.DT_UINT64: np.dtype("<u8"),
}
# The first integer that a float of this type does not tell from its neighbour.
EXACT: dict[int, int] = {
    number: 2 ** (np.finfo(dtype).nmant + 1) for number, dtype in FLOATS.items()
}
LARGEST: dict[int, float] = {number: float(np.finfo(dtype).max) for number, dtype in FLOATS.items()}
BOUNDS: dict[int, tuple[int, int]] = {
    number: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    for number, dtype in INTEGERS.items()
}


def leaf(value: Any, dtype: int) -> Any:
    """A value as an element of a tensor of TensorFlow's type number `dtype`.

    Raises:
        ServingError: INVALID_ARGUMENT if it is of another type or would lose digits,
            UNIMPLEMENTED if JSON has no form for the dtype.
    """
    kind = type(value)
    if dtype in FLOATS:
        if kind is float or kind is int:
            return _decimal(value, dtype)
    elif dtype in INTEGERS:
        least, most = BOUNDS[dtype]
        if kind is int and least <= value <= most:
            return value
    elif dtype == types_pb2.DT_STRING:
        if kind is str:
            return value.encode("utf-8", "surrogatepass")
        if kind is dict:
            return from_base64(value)
    elif dtype == types_pb2.DT_BOOL:
        if kind is bool:
            return value
    else:
        raise ServingError(
            Code.UNIMPLEMENTED, f"Conversion of JSON Value: {shown(value)} to type: {_name(dtype)}"
        )
    raise invalid_argument(
        f"JSON Value: {shown(value)} Type: {type_name(value)} is not of expected type: "
        f"{_name(dtype)}"
    )


def _decimal(value: float, dtype: int) -> float:
    if isinstance(value, int):
        exact = abs(value) < EXACT[dtype]
    else:
        exact = not math.isfinite(value) or abs(value) <= LARGEST[dtype]
    if not exact:
        raise invalid_argument(
            f"Cannot convert JSON value: {shown(value)} to {_name(dtype)} without loss of "
            "precision."
        )
    return value


def is_base64(value: Any) -> bool:
    """Whether the value is an object with the one key `b64` and a string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def is_named(value: Any) -> bool:
    """Whether the value is an object that names tensors."""
    return isinstance(value, dict) and not is_base64(value)


def from_base64(value: Any) -> bytes:
    """The bytes of `{"b64": "..."}`; padding may be missing.

    Raises:
        ServingError: INVALID_ARGUMENT if it is another object or no base64.
    """
    if not is_base64(value):
        raise invalid_argument(
            f"JSON Value: {shown(value)} not formatted correctly for base64 data"
        )
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_argument("Unable to base64 decode") from error


def shown(value: Any) -> str:
    """A JSON value as a refusal quotes it: indented, and cut where it is long."""
    encoder, text = json.JSONEncoder(indent=4, ensure_ascii=False, default=list), ""
    try:
        for part in encoder.iterencode(value):
            text += part
            if len(text) > SHOWN_CHARACTERS:
                return text[:SHOWN_CHARACTERS] + "..."
    except (RecursionError, TypeError, ValueError):
        return "..."
    return text


def type_name(value: Any) -> str:
    """The JSON type of a parsed value."""
    if isinstance(value, bool):
        return str(value)
    names = {dict: "Object", list: "Array", str: "String", type(None): "Null"}
    return names.get(type(value), "Number")


def _name(dtype: int) -> str:
    return str(types_pb2.DataType.Name(dtype)).removeprefix("DT_").lower()
