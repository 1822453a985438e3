"""TensorProto <-> numpy, the server's side of the wire.

A TensorProto carries its values either as raw bytes (`tensor_content`) or in a typed list
(`float_val` and its siblings). Clients may send both; TF Serving answers with typed lists, and
so does this server. Strings are object arrays of `bytes` on the numpy side.
"""

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from tensorflow.core.framework import types_pb2

# A tensor larger than a gRPC message may be cannot have been meant (a few bytes can claim any
# shape, because a short value list repeats its last element).
MAX_TENSOR_BYTES = 2**31 - 1


@dataclass(frozen=True)
class _Layout:
    """How one dtype travels: its numpy type and the TensorProto list that holds its values."""

    numpy: np.dtype[Any]
    field: str
    packed_tag: int | None = None  # set where the list's wire bytes are the array's own bytes
    as_bits: bool = False  # 16-bit floats travel as the integer with the same bits


def _layouts() -> dict[int, _Layout]:
    def layout(kind: Any, field: str, **options: Any) -> _Layout:
        return _Layout(np.dtype(kind), field, **options)

    # tag = field number << 3 | 2 (length-delimited), see TensorProto
    return {
        types_pb2.DT_FLOAT: layout("<f4", "float_val", packed_tag=5 << 3 | 2),
        types_pb2.DT_DOUBLE: layout("<f8", "double_val", packed_tag=6 << 3 | 2),
        types_pb2.DT_COMPLEX64: layout("<c8", "scomplex_val", packed_tag=9 << 3 | 2),
        types_pb2.DT_COMPLEX128: layout("<c16", "dcomplex_val", packed_tag=12 << 3 | 2),
        types_pb2.DT_BOOL: layout("?", "bool_val", packed_tag=11 << 3 | 2),
        types_pb2.DT_INT8: layout("i1", "int_val"),
        types_pb2.DT_INT16: layout("<i2", "int_val"),
        types_pb2.DT_INT32: layout("<i4", "int_val"),
        types_pb2.DT_INT64: layout("<i8", "int64_val"),
        types_pb2.DT_UINT8: layout("u1", "int_val"),
        types_pb2.DT_UINT16: layout("<u2", "int_val"),
        types_pb2.DT_UINT32: layout("<u4", "uint32_val"),
        types_pb2.DT_UINT64: layout("<u8", "uint64_val"),
        types_pb2.DT_HALF: layout("<f2", "half_val", as_bits=True),
        types_pb2.DT_BFLOAT16: layout(ml_dtypes.bfloat16, "half_val", as_bits=True),
        types_pb2.DT_STRING: layout(object, "string_val"),
    }


_LAYOUTS = _layouts()
_DTYPE_NUMBERS = {layout.numpy: number for number, layout in _LAYOUTS.items()}


def decode(proto: Any) -> np.ndarray[Any, Any]:
    """The array that a TensorProto stands for, of the proto's dtype and shape.

    A value list shorter than the shape repeats its last element; an empty one means zeros.

    Raises:
        ValueError: if dtype, shape and values do not describe a tensor.
    """
    layout = _LAYOUTS.get(proto.dtype)
    if layout is None:
        raise ValueError(f"dtype number {proto.dtype} is not supported")
    if proto.tensor_shape.unknown_rank:
        raise ValueError("the shape has an unknown rank")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    size = math.prod(shape)
    if min(shape, default=0) < 0 or size * layout.numpy.itemsize > MAX_TENSOR_BYTES:
        raise ValueError(f"shape {tuple(shape)} is not possible")
    if proto.tensor_content:
        flat = _from_content(proto.tensor_content, layout, size)
    else:
        flat = _from_list(getattr(proto, layout.field), layout, size)
    return flat.reshape(shape)


def _from_content(content: bytes, layout: _Layout, size: int) -> np.ndarray[Any, Any]:
    if layout.numpy.hasobject:
        return _strings_from_content(content, size)
    if len(content) != size * layout.numpy.itemsize:
        raise ValueError(f"{len(content)} bytes do not make {size} values of {layout.numpy}")
    return np.frombuffer(content, layout.numpy)


def _strings_from_content(content: bytes, size: int) -> np.ndarray[Any, Any]:
    """Strings as raw content: all lengths as varints, then all bytes."""
    lengths, position = [], 0
    for _ in range(size):
        length = shift = 0
        while True:
            if position >= len(content) or shift > 63:
                raise ValueError("string lengths are cut short")
            byte = content[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if position + sum(lengths) != len(content):
        raise ValueError("string lengths and bytes disagree")
    flat = np.empty(size, object)
    for index, length in enumerate(lengths):
        flat[index] = content[position : position + length]
        position += length
    return flat


def _from_list(values: Any, layout: _Layout, size: int) -> np.ndarray[Any, Any]:
    if layout.numpy.hasobject:
        given = np.empty(len(values), object)
        given[:] = values
        fill: Any = b""
    elif layout.as_bits:
        given = np.asarray(values, np.int64).astype("<u2").view(layout.numpy)
        fill = 0
    elif layout.numpy.kind == "c":
        parts = np.asarray(values, layout.numpy.type(0).real.dtype)
        given = parts[: len(parts) // 2 * 2].view(layout.numpy)
        fill = 0
    else:
        given = np.asarray(values).astype(layout.numpy, copy=False)
        fill = 0
    if len(given) >= size:
        return given[:size]
    full = np.empty(size, layout.numpy)
    full[:] = given[-1] if len(given) else fill
    full[: len(given)] = given
    return full


def encode(array: np.ndarray[Any, Any], proto: Any, *, as_content: bool = False) -> None:
    """Write `array` into the empty TensorProto `proto`: a typed list, or raw `as_content`.

    Floats, complex numbers and booleans skip the list's Python elements: on the wire a packed
    list is a tag, a length and the array's own bytes. For large arrays that is many times faster.

    Raises:
        ValueError: if the wire has no form for the array's dtype.
    """
    number = _DTYPE_NUMBERS.get(array.dtype)
    if number is None:
        raise ValueError(f"no TensorProto form for {array.dtype}")
    layout = _LAYOUTS[number]
    proto.dtype = number
    proto.tensor_shape.SetInParent()
    for extent in array.shape:
        proto.tensor_shape.dim.add(size=extent)
    if as_content:
        proto.tensor_content = _content(array)
    elif layout.packed_tag is not None:
        raw = array.tobytes()
        if raw:
            proto.MergeFromString(bytes([layout.packed_tag]) + _varint(len(raw)) + raw)
    elif layout.as_bits:
        getattr(proto, layout.field).extend(array.view("<u2").ravel().tolist())
    else:
        getattr(proto, layout.field).extend(array.ravel().tolist())


def _content(array: np.ndarray[Any, Any]) -> bytes:
    """The elements' own bytes; of strings first all lengths, then all bytes."""
    if array.dtype != object:
        return array.tobytes()
    strings = array.ravel().tolist()
    return b"".join([*(_varint(len(string)) for string in strings), *strings])


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
