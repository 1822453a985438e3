"""JSON request bodies -> arrays: the row and the column format of TF Serving's REST interface.

Bodies that hold one array of numbers are read in bulk, see json_bulk. All others are walked
value by value, which also finds the words for what is wrong.
"""

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from tensorflow.core.framework import types_pb2

from serving.server import json_bulk
from serving.server.errors import ServingError, invalid_argument
from serving.server.json_bulk import MAX_RANK
from serving.server.json_values import FLOATS, INTEGERS, is_named, leaf, shown

Array = np.ndarray[Any, Any]

BULK_BYTES = 256  # below this, the walk is as fast
_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|-?\bInf(?:inity)?\b', re.DOTALL)


@dataclass(frozen=True)
class Tensors:
    """The inputs of a predict request, and whether its answer is due by rows."""

    inputs: dict[str, Array]
    by_rows: bool


@dataclass(frozen=True)
class Body:
    """A parsed request body, `text` as it came and `fields` as its top-level object."""

    text: bytes
    fields: Mapping[str, Any]
    numbers: json_bulk.Numbers | None = None

    @property
    def signature(self) -> str:
        """The signature that is asked for; empty where none is named.

        Raises:
            ServingError: INVALID_ARGUMENT if it is not a string.
        """
        name = self.fields.get("signature_name", "")
        if not isinstance(name, str):
            raise invalid_argument(
                f"JSON Value: {shown(self.fields)} not formatted correctly. "
                "'signature_name' key must be a string value."
            )
        return name


def parse(text: bytes) -> Body:
    """The body's top-level object.

    Raises:
        ServingError: INVALID_ARGUMENT if it is no JSON or no object.
    """
    if not text:
        raise invalid_argument("JSON Parse error: The document is empty")
    if len(text) >= BULK_BYTES:
        found = json_bulk.parse(text)
        if found is not None:
            return Body(text, *found)
    fields = _loads(text)
    if not isinstance(fields, dict):
        raise invalid_argument(f"JSON Value: {shown(fields)} Is not object")
    return Body(text, fields)


def _loads(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in text and b"Inf" not in text:
            raise _parse_error(error) from error
    try:
        # orjson knows no NaN; Python's parser does, but not the short names of infinity.
        return json.loads(_CONSTANT.sub(_long_name, text.decode()))
    except (RecursionError, ValueError) as error:
        raise _parse_error(error) from error


def _long_name(match: re.Match[str]) -> str:
    word = match[0]
    return {"Inf": "Infinity", "-Inf": "-Infinity"}.get(word, word)


def _parse_error(error: Exception) -> ServingError:
    if isinstance(error, json.JSONDecodeError):  # orjson's is one, too
        return invalid_argument(f"JSON Parse error: {error.msg} at offset: {error.pos}")
    return invalid_argument(f"JSON Parse error: {error}")


def predict_inputs(
    body: Body, infos: Mapping[str, Any], *, optional: Collection[str] = ()
) -> Tensors:
    """The body's tensors for a signature whose inputs are the TensorInfos `infos`.

    TF Serving's REST wants every input; here those named in `optional`, which have a default, may
    be left out. Where there are such, a name that no input has is refused, lest it be a slip.

    Raises:
        ServingError: INVALID_ARGUMENT or UNIMPLEMENTED if they cannot be made.
    """
    fields = body.fields
    if "instances" in fields and "inputs" in fields:
        raise invalid_argument(
            f"JSON Value: {shown(fields)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if "instances" not in fields and "inputs" not in fields:
        raise invalid_argument("Missing 'inputs' or 'instances' key")
    by_rows = "instances" in fields
    required = [name for name in infos if name not in optional]
    alone = {name: infos[name] for name in required or infos}
    if body.numbers is not None:
        if len(alone) == 1:
            ((name, info),) = alone.items()
            array = body.numbers.read(info.dtype)
            if array is not None:
                return Tensors({name: array}, by_rows)
        body = Body(body.text, _loads(body.text))
    if by_rows:
        return Tensors(_from_rows(body, infos, required), by_rows)
    return Tensors(_from_columns(body.fields["inputs"], infos, required), by_rows)


def _from_rows(body: Body, infos: Mapping[str, Any], required: Sequence[str]) -> dict[str, Array]:
    rows = body.fields["instances"]
    if not isinstance(rows, list):
        raise invalid_argument(
            f"JSON Value: {shown(body.fields)} Excepting 'instances' to be an list/array"
        )
    if not rows:
        raise invalid_argument(f"JSON Value: {shown(body.fields)} No values in 'instances' array")
    if len(plain := required or list(infos)) > 1 and not isinstance(rows[0], dict):
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    if is_named(rows[0]):
        return _from_named_rows(rows, infos, required)
    name = plain[0]
    column = _Column(infos[name].dtype)
    for index, row in enumerate(rows):
        if is_named(row):
            raise invalid_argument(
                f"Expecting value/list but got object at item {index} of input list"
            )
        try:
            column.add(row)
        except ServingError as error:
            raise _in_row(error, f"Failed to process element: {index}") from error
    return {name: column.array()}


def _from_named_rows(
    rows: list[Any], infos: Mapping[str, Any], required: Sequence[str]
) -> dict[str, Array]:
    given = {*required, *(name for name in infos if name in rows[0])}
    columns = {name: _Column(info.dtype) for name, info in infos.items() if name in given}
    for index, row in enumerate(rows):
        if not is_named(row):
            raise invalid_argument(f"Expecting object but got list at item {index} of input list")
        for key, value in row.items():
            try:
                if key not in columns:
                    raise invalid_argument(f"JSON object: does not have named input: {key}")
                columns[key].add(value)
            except ServingError as error:
                place = f"Failed to process element: {index} key: {key}"
                raise _in_row(error, place) from error
        if row.keys() != given:
            raise invalid_argument(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{shown(row)} keys must be equal to: {','.join(sorted(given))}"
            )
    return {name: column.array() for name, column in columns.items()}


def _in_row(error: ServingError, place: str) -> ServingError:
    return invalid_argument(
        f"{place} of 'instances' list. Error: {error.code.name}: {error.message}"
    )


def _from_columns(
    value: Any, infos: Mapping[str, Any], required: Sequence[str]
) -> dict[str, Array]:
    if not is_named(value):
        if len(plain := required or list(infos)) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        name = plain[0]
        return {name: to_array(value, infos[name].dtype)}
    strange = sorted(value.keys() - infos.keys())
    if strange and len(required) < len(infos):
        raise invalid_argument(f"JSON object: does not have named input: {strange[0]}")
    arrays = {}
    for name, info in infos.items():
        if name not in value:
            if name not in required:
                continue
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        arrays[name] = to_array(value[name], info.dtype)
    return arrays


class _Column:
    """The values of one input, added row by row; all rows have the first one's shape."""

    def __init__(self, dtype: int) -> None:
        self._dtype = dtype
        self._values: list[Any] = []
        self._shape: tuple[int, ...] | None = None
        self._count = 0

    def add(self, row: Any) -> None:
        """Append one row.

        Raises:
            ServingError: if its values or its shape do not fit.
        """
        shape = _shape(row)
        before = len(self._values)
        _fill(row, shape, 0, (self._dtype, self._values))
        if self._shape is None:
            self._shape = shape
        size, got = math.prod(self._shape), len(self._values) - before
        if size != got:
            raise invalid_argument(f"Expecting tensor size: {size} but got: {got}")
        if shape != self._shape:
            raise invalid_argument(
                f"Expecting shape {_listed(self._shape)} but got: {_listed(shape)}"
            )
        self._count += 1

    def array(self) -> Array:
        """All rows, in one array."""
        return _pack(self._values, self._dtype).reshape((self._count, *(self._shape or ())))


def to_array(value: Any, dtype: int) -> Array:
    """A nested list or a single value as an array of TensorFlow's type number `dtype`.

    Raises:
        ServingError: INVALID_ARGUMENT if values or nesting are wrong, UNIMPLEMENTED if JSON has
            no form for the type.
    """
    shape = _shape(value)
    values: list[Any] = []
    _fill(value, shape, 0, (dtype, values))
    return _pack(values, dtype).reshape(shape)


def _shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > MAX_RANK:
            raise invalid_argument(f"Encountered list at unexpected level: {MAX_RANK}")
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _fill(value: Any, shape: tuple[int, ...], level: int, sink: tuple[int, list[Any]]) -> None:
    """Append the leaves of `value` to the list in `sink`, each checked against its dtype."""
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid_argument(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {rank}"
            )
        dtype, values = sink
        values.append(leaf(value, dtype))
        return
    if level >= rank:
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for element in value:
        _fill(element, shape, level + 1, sink)


def _pack(values: list[Any], dtype: int) -> Array:
    if dtype == types_pb2.DT_STRING:
        packed = np.empty(len(values), object)
        packed[:] = values
        return packed
    # An empty list has no leaf that could have been refused; its dtype still matters.
    kind: np.dtype[Any] = FLOATS.get(dtype) or INTEGERS.get(dtype) or np.dtype(bool)
    return np.array(values, kind)


def _listed(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
