"""One regular array of numbers out of a JSON body, without a Python object for each number.

simdjson writes the numbers of the document into one buffer. It does not say where brackets
closed, so what is left of the text when all but brackets and commas are taken out must be that
of a regular array. Whatever does not pass is left to the walk, which finds the words for it.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import simdjson

from serving.server.json_values import BOUNDS, EXACT, FLOATS, INTEGERS

Array = np.ndarray[Any, Any]

MAX_RANK = 64  # numpy's
_STRUCTURE = b"[],"
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in _STRUCTURE)


@dataclass(frozen=True)
class Numbers:
    """One regular array of numbers, still inside simdjson's document."""

    array: Any
    shape: tuple[int, ...]

    def read(self, dtype: int) -> Array | None:
        """The numbers as TensorFlow's type number `dtype`; None where the walk must look."""
        numpy = FLOATS.get(dtype) or INTEGERS.get(dtype)
        if numpy is None:
            return None
        kind = {"f": "d", "u": "u", "i": "i"}[numpy.kind]
        try:
            buffer = self.array.as_buffer(of_type=kind)
        except (RuntimeError, TypeError, ValueError):  # a boolean, a fraction for an integer, ...
            return None
        numbers = np.frombuffer(buffer, {"d": "<f8", "i": "<i8", "u": "<u8"}[kind])
        if numbers.size != math.prod(self.shape):
            return None
        least, most = numbers.min(), numbers.max()
        if dtype in FLOATS:
            # Beyond this an integer is refused and a decimal is not; here they look the same.
            certain = max(-least, most) < EXACT[dtype]
        else:
            certain = least >= BOUNDS[dtype][0] and most <= BOUNDS[dtype][1]
        return numbers.astype(numpy).reshape(self.shape) if certain else None


def parse(text: bytes) -> tuple[dict[str, Any], Numbers] | None:
    """The top-level object and its array; None unless that is one regular array of numbers.

    Beside the array, which is called `instances` or `inputs`, a signature may be named.
    """
    try:
        document = simdjson.Parser().parse(text)
        if not isinstance(document, simdjson.Object):
            return None
        fields = {name: document[name] for name in document}  # items() would make lists
        (key,) = fields.keys() - {"signature_name"}
        shape = _shape(fields[key])
    except (KeyError, RuntimeError, TypeError, ValueError):  # whatever it is, the walk says it
        return None
    if key not in ("instances", "inputs") or not shape or math.prod(shape) > len(text):
        return None
    structure, expected = text.translate(None, _NOT_STRUCTURE), _structure(shape)
    if len(fields) == 2:
        fits = structure in (expected + b",", b"," + expected)
    else:
        fits = structure == expected
    return (fields, Numbers(fields[key], shape)) if fits else None


def _shape(array: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(array, simdjson.Array):
        shape.append(len(array))
        if not shape[-1] or len(shape) > MAX_RANK:
            return ()
        array = array[0]
    return tuple(shape)


def _structure(shape: tuple[int, ...]) -> bytes:
    """Brackets and commas of an array of this shape."""
    text = b""
    for extent in reversed(shape):
        text = b"[" + b",".join([text] * extent) + b"]"
    return text
