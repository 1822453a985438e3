"""numpy <-> the wire's Tensor message, the client's side.

Numbers are sent as raw bytes and read back from raw bytes or from the typed lists that TF
Serving answers with; strings are object arrays of `bytes`. bfloat16 needs the package ml_dtypes
on the numpy side; where it is missing, bfloat16 is read as float32.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.client import wire

try:
    from ml_dtypes import bfloat16 as _bfloat16
except ImportError:  # an optional package: float32 stands in, see decode
    _bfloat16 = None

Array = np.ndarray[Any, Any]

MAX_TENSOR_BYTES = 2**31 - 1  # what fits a gRPC message; larger shapes are damage


@dataclass(frozen=True)
class DType:
    """One dtype of the protocol.

    `number` is its code on the wire, `storage` the numpy type of its bytes, `field` the typed
    list that may hold its values. bfloat16 is stored as uint16 bits.
    """

    number: int
    name: str
    storage: np.dtype[Any]
    field: str


def _table() -> dict[str, DType]:
    rows: list[tuple[int, str, Any, str]] = [
        (1, "float32", "<f4", "float_val"),
        (2, "float64", "<f8", "double_val"),
        (3, "int32", "<i4", "int_val"),
        (4, "uint8", "u1", "int_val"),
        (5, "int16", "<i2", "int_val"),
        (6, "int8", "i1", "int_val"),
        (7, "string", object, "string_val"),
        (8, "complex64", "<c8", "scomplex_val"),
        (9, "int64", "<i8", "int64_val"),
        (10, "bool", "?", "bool_val"),
        (14, "bfloat16", "<u2", "half_val"),
        (17, "uint16", "<u2", "int_val"),
        (18, "complex128", "<c16", "dcomplex_val"),
        (19, "float16", "<f2", "half_val"),
        (22, "uint32", "<u4", "uint32_val"),
        (23, "uint64", "<u8", "uint64_val"),
    ]
    return {name: DType(number, name, np.dtype(kind), field) for number, name, kind, field in rows}


DTYPES = _table()
_BY_NUMBER = {dtype.number: dtype for dtype in DTYPES.values()}


def dtype_name(number: int) -> str:
    """`float32` for 1 and so on; `dtype 11` for a number that this client does not read."""
    dtype = _BY_NUMBER.get(number)
    return dtype.name if dtype else f"dtype {number}"


def is_bfloat16(array: Array) -> bool:
    """Whether the array's elements are ml_dtypes' bfloat16."""
    return _bfloat16 is not None and array.dtype == _bfloat16


def encode(array: Array, dtype_name: str) -> Any:
    """A Tensor message with the array's shape and values, as the named dtype.

    `array` already has that dtype: object with `bytes` for string; float32 or bfloat16 for
    bfloat16 (float32 is rounded to nearest even).
    """
    dtype = DTYPES[dtype_name]
    message = wire.Tensor(dtype=dtype.number)
    message.tensor_shape.SetInParent()
    for extent in array.shape:
        message.tensor_shape.dim.add(size=extent)
    if dtype.name == "string":
        message.string_val.extend(array.ravel().tolist())
    elif dtype.name == "bfloat16":
        bits = array.view("<u2") if is_bfloat16(array) else _round_to_bfloat16(array)
        message.tensor_content = bits.tobytes()
    else:
        message.tensor_content = array.astype(dtype.storage, copy=False).tobytes()
    return message


def _round_to_bfloat16(array: Array) -> Array:
    """float32 -> the upper 16 bits, rounded to nearest even; NaN stays NaN."""
    bits = np.ascontiguousarray(array, "<f4").view("<u4").reshape(array.shape)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(array), 0x7FC0, rounded).astype("<u2")


def decode(message: Any) -> Array:
    """The array that a Tensor message stands for; strings as an object array of `bytes`.

    A value list shorter than the shape repeats its last element; an empty one means zeros.

    Raises:
        ValueError: if dtype, shape and values do not describe a tensor that numpy can hold.
    """
    dtype = _BY_NUMBER.get(message.dtype)
    if dtype is None:
        raise ValueError(f"the wire's dtype {message.dtype} is not supported")
    shape = tuple(dim.size for dim in message.tensor_shape.dim)
    size = math.prod(shape)
    if (
        message.tensor_shape.unknown_rank
        or any(extent < 0 for extent in shape)
        or size * dtype.storage.itemsize > MAX_TENSOR_BYTES
    ):
        raise ValueError(f"a tensor of shape {shape} is not possible")
    content = message.tensor_content
    if not content:
        flat = _from_list(getattr(message, dtype.field), dtype, size)
    elif dtype.name == "string":
        flat = _strings_from_content(content, size)
    elif len(content) == size * dtype.storage.itemsize:
        flat = np.frombuffer(content, dtype.storage).copy()  # writable, as callers expect
    else:
        raise ValueError(f"{len(content)} bytes do not make {size} values of {dtype.name}")
    if dtype.name == "bfloat16":
        flat = _from_bfloat16(flat)
    return flat.reshape(shape)


def _from_list(values: Any, dtype: DType, size: int) -> Array:
    if dtype.name == "string":
        given = np.empty(len(values), object)
        given[:] = values
    elif dtype.field == "half_val":
        given = np.asarray(values, np.int32).astype("<u2").view(dtype.storage)
    elif dtype.storage.kind == "c":
        part = np.dtype(f"<f{dtype.storage.itemsize // 2}")
        given = np.asarray(values, part)[: len(values) // 2 * 2].view(dtype.storage)
    else:
        given = np.asarray(values).astype(dtype.storage, copy=False)
    if len(given) == size and given.flags.writeable:
        return given
    full = np.empty(size, dtype.storage)
    full[:] = given[-1] if len(given) else b"" if dtype.name == "string" else 0
    full[: len(given)] = given[:size]
    return full


def _from_bfloat16(bits: Array) -> Array:
    if _bfloat16 is not None:
        return bits.view(_bfloat16)
    return (bits.astype("<u4") << 16).view("<f4")


def _strings_from_content(content: bytes, size: int) -> Array:
    """Strings as raw content: all lengths as varints, then all bytes."""
    lengths: list[int] = []
    position = length = shift = 0
    while len(lengths) < size:
        if position == len(content):
            raise ValueError("string lengths are cut short")
        length |= (content[position] & 0x7F) << shift
        shift += 7
        if content[position] < 0x80:
            lengths.append(length)
            length = shift = 0
        position += 1
    if position + sum(lengths) != len(content):
        raise ValueError("string lengths and bytes disagree")
    flat = np.empty(size, object)
    for index, length in enumerate(lengths):
        flat[index] = content[position : position + length]
        position += length
    return flat
