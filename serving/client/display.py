"""Answers as text for a terminal, and as plain values for JSON."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from serving.client.client import BYTES_SUFFIX
from serving.client.examples import Class
from serving.client.signatures import ModelMetadata, Signature, TensorSpec, VersionStatus
from serving.client.tensors import is_bfloat16

Array = np.ndarray[Any, Any]


def outputs_text(outputs: Mapping[str, Array]) -> str:
    """Every output under its name: strings first and whole, long runs of numbers shortened."""
    blocks = []
    for name, array in sorted(outputs.items(), key=lambda item: item[1].dtype != object):
        if array.dtype == object:
            lines = [_string(element) for element in array.ravel().tolist()]
            body = "\n".join(lines)
        else:
            body = np.array2string(
                _plain(array), separator=", ", precision=4, threshold=16, edgeitems=3
            )
        shape = ", ".join(map(str, array.shape))
        kind = "string" if array.dtype == object else array.dtype.name
        single = "\n" not in body and len(body) <= 80
        blocks.append(f"{name}  {kind} [{shape}]" + (f"  {body}" if single else f"\n{body}"))
    return "\n".join(blocks)


def classes_text(classes: Sequence[Class]) -> str:
    """One line per class: its score, and its label where it has one."""
    return "\n".join(f"{entry.score:<12.6g} {entry.label}".rstrip() for entry in classes)


def outputs_json(outputs: Mapping[str, Array]) -> dict[str, Any]:
    """Nested lists by name; bytes as `{"b64": ...}`, complex numbers as `[real, imaginary]`."""
    return {
        name: _nested(array.tolist() if array.dtype == object else _plain(array).tolist(), name)
        for name, array in outputs.items()
    }


def _plain(array: Array) -> Array:
    return array.astype(np.float32) if is_bfloat16(array) else array


def _string(element: bytes) -> str:
    try:
        return element.decode()
    except UnicodeDecodeError:
        return f"<{len(element)} bytes>"


def _nested(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_nested(element, name) for element in value]
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, bytes):
        if not name.endswith(BYTES_SUFFIX):
            try:
                return value.decode()
            except UnicodeDecodeError:
                pass
        return {"b64": base64.b64encode(value).decode("ascii")}
    return value


def metadata_text(metadata: ModelMetadata) -> str:
    """One block per signature, one line per input and output."""
    lines = [f"{metadata.name} version {metadata.version}"]
    for name, signature in metadata.signatures.items():
        lines.append(f"\nsignature {name}")
        width = max(map(len, [*signature.inputs, *signature.outputs]), default=0)
        for direction, specs in (("in ", signature.inputs), ("out", signature.outputs)):
            for tensor, spec in specs.items():
                lines.append(f"  {direction}  {tensor:<{width}}  {spec}{_default_text(spec)}")
    return "\n".join(lines)


def _default_text(spec: TensorSpec) -> str:
    if spec.default is None:
        return ""
    values = _nested(_plain(spec.default).tolist(), "")
    return f"  default {values!r}"


def metadata_json(metadata: ModelMetadata) -> dict[str, Any]:
    """The same facts as JSON values; a null extent may be anything."""
    return {
        "name": metadata.name,
        "version": metadata.version,
        "signatures": {n: _signature_json(s) for n, s in metadata.signatures.items()},
    }


def _signature_json(signature: Signature) -> dict[str, Any]:
    def tensors(specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
        return {name: _spec_json(spec) for name, spec in specs.items()}

    return {
        "method": signature.method,
        "inputs": tensors(signature.inputs),
        "outputs": tensors(signature.outputs),
    }


def _spec_json(spec: TensorSpec) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "dtype": spec.dtype,
        "shape": None if spec.shape is None else list(spec.shape),
    }
    if spec.default is not None:
        facts["default"] = _nested(_plain(spec.default).tolist(), "")
    return facts


def status_text(model: str, statuses: Iterable[VersionStatus]) -> str:
    """One line per version."""
    return "\n".join(
        f"{model} version {s.version}  {s.state}" + (f"  {s.error_message}" * bool(s.error_message))
        for s in statuses
    )


def status_json(statuses: Iterable[VersionStatus]) -> list[dict[str, Any]]:
    """The same facts as JSON values."""
    return [vars(status) for status in statuses]
