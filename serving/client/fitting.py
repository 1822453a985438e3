"""The caller's values -> arrays of exactly the dtype that a signature wants.

A value is converted when nothing but floating-point precision is lost: an int may become a
float, 5.0 an int, 0.1 a float32; 0.5 never an int, 300 never an uint8, text never a number.
Shapes are left to the model, except that a lone value stands for a batch of one.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from serving.client import tensors
from serving.client.errors import InvalidInput
from serving.client.signatures import ModelMetadata, Signature, TensorSpec

Array = np.ndarray[Any, Any]


def choose_signature(metadata: ModelMetadata, name: str) -> Signature:
    """The named signature.

    Raises:
        InvalidInput: if the model lacks it; the text names those it has.
    """
    signature = metadata.signatures.get(name)
    if signature is None:
        raise InvalidInput(
            f"model {metadata.name!r} has no signature {name!r}{nearest(name, metadata.signatures)}"
            f"; it has: {', '.join(metadata.signatures) or 'none'}"
        )
    return signature


def fit_all(signature: Signature, values: Mapping[str, Any]) -> dict[str, Any]:
    """Wire tensors for `values`, checked against the signature's inputs.

    Raises:
        InvalidInput: for an unknown or missing name, or a value that does not fit its dtype.
    """
    for name in values:
        if name not in signature.inputs:
            raise InvalidInput(
                f"no input is called {name!r}{nearest(name, signature.inputs)}"
                f"; inputs: {_described(signature.inputs)}"
            )
    missing = {
        name: spec
        for name, spec in signature.inputs.items()
        if name not in values and spec.default is None
    }
    if missing:
        raise InvalidInput(f"missing input: {_described(missing)}")
    return {
        name: tensors.encode(fit(value, signature.inputs[name], name), signature.inputs[name].dtype)
        for name, value in values.items()
    }


def check_outputs(signature: Signature, names: Iterable[str]) -> None:
    """Accept only outputs that the signature has.

    Raises:
        InvalidInput: for any other name.
    """
    for name in names:
        if name not in signature.outputs:
            raise InvalidInput(
                f"no output is called {name!r}{nearest(name, signature.outputs)}"
                f"; outputs: {_described(signature.outputs)}"
            )


def fit(value: Any, spec: TensorSpec, name: str) -> Array:
    """`value` as an array of the spec's dtype; `name` is for the message only.

    A scalar becomes as many-dimensional as the spec says, one element long in each, and [1]
    where the spec leaves the rank open. For string, elements are `bytes`.

    Raises:
        InvalidInput: if the value is ragged or cannot be converted without loss.
    """
    if spec.dtype not in tensors.DTYPES:
        raise InvalidInput(f"input {name!r} wants {spec.dtype}, which this client cannot send")
    array = _strings(value, name) if spec.dtype == "string" else _numbers(value, spec.dtype, name)
    if array.ndim == 0:
        array = array.reshape((1,) * (1 if spec.shape is None else len(spec.shape)))
    return array


def _strings(value: Any, name: str) -> Array:
    if isinstance(value, str | bytes):
        array = np.empty((), object)
        array[()] = value
    else:
        array = _as_array(value, name, dtype=object)
    encoded = np.empty(array.size, object)
    for index, element in enumerate(array.ravel().tolist()):
        if isinstance(element, str):
            try:
                element = element.encode()
            except UnicodeEncodeError as error:
                raise InvalidInput(f"input {name!r} holds text without UTF-8 form") from error
        if not isinstance(element, bytes):
            raise InvalidInput(
                f"input {name!r} wants text (str or bytes) and was given "
                f"{type(element).__name__} {_short(element)}"
            )
        encoded[index] = element
    return encoded.reshape(array.shape)


def _numbers(value: Any, dtype: str, name: str) -> Array:
    array = _as_array(value, name)
    if array.dtype.kind not in "biufc" and not tensors.is_bfloat16(array):
        raise InvalidInput(f"input {name!r} wants {dtype} and was given {_short(value)}")
    if dtype == "bfloat16":
        if tensors.is_bfloat16(array):
            return array
        dtype = "float32"
    target = tensors.DTYPES[dtype].storage
    if array.dtype == target:
        return array
    with np.errstate(all="ignore"):
        if array.dtype.kind == "c" and target.kind != "c":
            raise InvalidInput(f"input {name!r} wants {dtype}, not complex numbers")
        converted = array.astype(target)
        if not _kept(array, converted):
            raise InvalidInput(f"input {name!r} wants {dtype}, which cannot hold {_short(value)}")
    return converted


def _kept(array: Array, converted: Array) -> bool:
    """Whether a conversion kept every value, or at least its magnitude between floats."""
    if converted.dtype.kind in "fc":
        return bool(np.array_equal(np.isfinite(array), np.isfinite(converted)))
    if array.dtype.kind in "iub":
        # Compared as Python's unbounded integers only where the ranges could differ.
        if np.can_cast(array.dtype, converted.dtype):
            return True
        return bool((array.astype(object) == converted.astype(object)).all())
    return bool(np.isfinite(array).all() and (converted.astype(array.dtype) == array).all())


def _as_array(value: Any, name: str, dtype: Any = None) -> Array:
    try:
        return np.asarray(value, dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"input {name!r} is not a rectangular array: {error}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'prompt'?)`, or nothing where no known name is close."""
    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _described(specs: Mapping[str, TensorSpec]) -> str:
    return ", ".join(f"{name} ({spec})" for name, spec in specs.items()) or "none"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
