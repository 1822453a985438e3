"""Arrays -> JSON replies, laid out line by line as TF Serving lays them out.

Numbers are the shortest decimals that read back as the same float of the array's own width,
always with a point or an exponent. Arrays of numbers are written by orjson in one go; their
line breaks are put in afterwards, since the text between two numbers depends on the shape only.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from serving.server.errors import invalid_argument

Array = np.ndarray[Any, Any]

BYTES_SUFFIX = "_bytes"  # outputs with such names are base64
_WRITTEN = frozenset(["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u4", "u8", "b1"])
_INDENT = b"    "
_SPACER = b"\x00"  # stands for a comma that is already in its place


def error(message: str) -> bytes:
    """The body of every refusal; half a surrogate pair, quoted from a request, becomes `?`."""
    return _object({"error": _string(message.encode("utf-8", "replace"))}, 0)


def predictions(outputs: Mapping[str, Array]) -> bytes:
    """The reply to a request in row format: one element for each row.

    Raises:
        ServingError: INVALID_ARGUMENT if outputs have no or different numbers of rows, or a
            dtype that JSON has no form for.
    """
    _check(outputs)
    rows = _count_rows(outputs)
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        elements = _array(array, name, 1, one_line=True)[1:-1]
        text = b"[" + elements + b"\n" + _INDENT + b"]" if rows else b"[]"
        return _object({"predictions": text}, 0)
    columns = [[(n, text) for text in _rows(a, n, 3)] for n, a in outputs.items()]
    objects = [_object(dict(row), 2) for row in zip(*columns, strict=True)]
    return _object({"predictions": _lines(objects, 1)}, 0)


def outputs(outputs: Mapping[str, Array]) -> bytes:
    """The reply to a request in column format: one array for each output.

    Raises:
        ServingError: INVALID_ARGUMENT if an output has a dtype that JSON has no form for.
    """
    _check(outputs)
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return _object({"outputs": _array(array, name, 1)}, 0)
    named = {name: _array(array, name, 2) for name, array in outputs.items()}
    return _object({"outputs": _object(named, 1)}, 0)


def classifications(classes: Array | None, scores: Array | None) -> bytes:
    """The reply to a classify request: for each example, pairs of label and score.

    Both are [batch, n]; a part that the model does not give is empty or zero in every pair.
    """
    shape = (classes if classes is not None else scores).shape  # type: ignore[union-attr]
    if not shape[0]:
        raise invalid_argument("Cannot convert empty ClassificationResults to JSON")
    labels = np.full(shape, b"", object) if classes is None else classes
    numbers = np.zeros(shape, np.float32) if scores is None else scores
    lists = []
    for names, row in zip(labels, numbers, strict=True):
        pairs = zip(names, _numbers(row)[1:-1].split(b","), strict=True)
        pieces = [b"[" + _string(name) + b", " + number + b"]" for name, number in pairs]
        lists.append(b"[" + b", ".join(pieces) + b"]")
    return _object({"results": b"[" + b", ".join(lists) + b"\n" + _INDENT + b"]"}, 0)


def regressions(values: Array) -> bytes:
    """The reply to a regress request: one float32 for each example."""
    if not values.size:
        raise invalid_argument("Cannot convert empty RegressionResults to JSON")
    return _object({"results": _array(values, "", 1, one_line=True)}, 0)


def _check(outputs: Mapping[str, Array]) -> None:
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    for array in outputs.values():
        if array.dtype.str[1:] not in _WRITTEN and array.dtype != object:
            kind = {"float16": "half"}.get(array.dtype.name, array.dtype.name)
            raise invalid_argument(f"Failed to write JSON value for tensor type: {kind}")


def _count_rows(outputs: Mapping[str, Array]) -> int:
    rows = -1
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if rows >= 0 and len(array) != rows:
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {rows}"
            )
        rows = len(array)
    return rows


def _array(array: Array, name: str, level: int, *, one_line: bool = False) -> bytes:
    """An array of which `level` containers are open; strings one by one, numbers at once."""
    if array.dtype == object or not array.size:
        return _nested(array, (level, one_line, name.endswith(BYTES_SUFFIX)))
    text = _numbers(array)
    if one_line:
        return text.replace(b",", b", ")
    return _broken(text, np.ndim(array), level)


def _rows(array: Array, name: str, level: int) -> list[bytes]:
    """Each row of an array on one line, `level` containers being open around it."""
    if array.dtype == object or not array.size:
        return [_array(array[row, ...], name, level, one_line=True) for row in range(len(array))]
    inner = array.ndim - 1
    text = _array(array, name, level, one_line=True)[1 + inner : -1 - inner]
    rows = text.split(b"]" * inner + b", " + b"[" * inner)
    return [b"[" * inner + row + b"]" * inner for row in rows]


def _nested(value: Any, how: tuple[int, bool, bool]) -> bytes:
    level, one_line, as_base64 = how
    if not isinstance(value, np.ndarray) or not value.ndim:
        text = value if isinstance(value, bytes) else value.item()
        if not as_base64:
            return _string(text)
        return _object({"b64": orjson.dumps(base64.b64encode(text).decode())}, level)
    inner = [_nested(element, (level + 1, one_line, as_base64)) for element in value]
    if one_line:
        return b"[" + b", ".join(inner) + b"]"
    return _lines(inner, level)


def _string(text: bytes) -> bytes:
    """A JSON string; bytes that are no UTF-8 become U+FFFD, for no JSON could hold them."""
    return orjson.dumps(text.decode("utf-8", "replace"))


def _numbers(array: Array) -> bytes:
    """The array without spaces; what is no number has its name."""
    text = orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)
    if not array.ndim:
        text = text.strip(b"[]")
    if array.dtype.kind != "f" or b"null" not in text:
        return text
    flat = array.ravel()
    names = [_constant(value) for value in flat[~np.isfinite(flat)].tolist()]
    parts = text.split(b"null")
    return b"".join(part for pair in zip(parts, [*names, b""], strict=True) for part in pair)


def _constant(value: float) -> bytes:
    if math.isnan(value):
        return b"NaN"
    return b"Infinity" if value > 0 else b"-Infinity"


def _broken(text: bytes, rank: int, level: int) -> bytes:
    """The text of a non-empty array with a line for each number and each bracket."""
    if not rank:
        return text
    deepest = level + rank

    def line(depth: int) -> bytes:
        return b"\n" + _INDENT * depth

    def opening(count: int) -> bytes:
        return b"".join(line(depth) + b"[" for depth in range(deepest - count, deepest))

    def closing(count: int) -> bytes:
        return b"".join(line(depth) + b"]" for depth in range(deepest - 1, level - 1, -1)[:count])

    text = text[rank:-rank]
    for count in range(rank - 1, 0, -1):
        between = closing(count) + _SPACER + opening(count) + line(deepest)
        text = text.replace(b"]" * count + b"," + b"[" * count, between)
    text = text.replace(b",", b"," + line(deepest)).replace(_SPACER, b",")
    start = opening(rank).lstrip() + line(deepest)
    return start + text + closing(rank)


def _lines(elements: Sequence[bytes], level: int) -> bytes:
    if not elements:
        return b"[]"
    line = b"\n" + _INDENT * (level + 1)
    return b"[" + line + (b"," + line).join(elements) + b"\n" + _INDENT * level + b"]"


def _object(members: Mapping[str, bytes], level: int) -> bytes:
    line = b"\n" + _INDENT * (level + 1)
    texts = [orjson.dumps(name) + b": " + text for name, text in members.items()]
    return b"{" + line + (b"," + line).join(texts) + b"\n" + _INDENT * level + b"}"
