"""What a server tells about a model: its signatures, and the state of its versions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.client import tensors, wire

SIGNATURES_FIELD = "signature_def"
_STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
_INTERNAL_PREFIX = "__saved_model"  # the exporter's own signatures; nobody calls them


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One input or output of a signature.

    `shape` has None for an extent that may be anything and is None as a whole where even the
    rank is open. An input with a `default` need not be given.
    """

    dtype: str
    shape: tuple[int | None, ...] | None
    default: np.ndarray[Any, Any] | None = None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype} of any shape"
        extents = ", ".join("?" if extent is None else str(extent) for extent in self.shape)
        return f"{self.dtype} [{extents}]"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One way to call a model; `method` is TF Serving's name for its kind."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method: str


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """A loaded version and its signatures by name."""

    name: str
    version: int
    signatures: Mapping[str, Signature]


@dataclass(frozen=True, kw_only=True)
class VersionStatus:
    """The state of one version: START, LOADING, AVAILABLE, UNLOADING or END.

    `error_code` is gRPC's number, 0 for none; with `error_message` it says why a load failed.
    """

    version: int
    state: str
    error_code: int = 0
    error_message: str = ""


def metadata_from_wire(reply: Any) -> ModelMetadata:
    """Read a MetadataResponse.

    Raises:
        google.protobuf.message.DecodeError: if the packed signatures are damaged.
    """
    table = wire.SignatureDefMap.FromString(reply.metadata[SIGNATURES_FIELD].value)
    return ModelMetadata(
        name=reply.model_spec.name,
        version=reply.model_spec.version.value,
        signatures={
            name: _signature(table.signature_def[name])
            for name in sorted(table.signature_def)
            if not name.startswith(_INTERNAL_PREFIX)
        },
    )


def _signature(message: Any) -> Signature:
    defaults = {name: tensors.decode(message.defaults[name]) for name in message.defaults}
    return Signature(
        inputs={
            name: _spec(message.inputs[name], defaults.get(name)) for name in sorted(message.inputs)
        },
        outputs={name: _spec(message.outputs[name]) for name in sorted(message.outputs)},
        method=message.method_name,
    )


def _spec(message: Any, default: np.ndarray[Any, Any] | None = None) -> TensorSpec:
    shape = None
    if message.HasField("tensor_shape") and not message.tensor_shape.unknown_rank:
        shape = tuple(None if d.size < 0 else d.size for d in message.tensor_shape.dim)
    return TensorSpec(dtype=tensors.dtype_name(message.dtype), shape=shape, default=default)


def statuses_from_wire(reply: Any) -> list[VersionStatus]:
    """Read a StatusResponse, newest version first."""
    found = [
        VersionStatus(
            version=entry.version,
            state=_STATES.get(entry.state, str(entry.state)),
            error_code=entry.status.error_code,
            error_message=entry.status.error_message,
        )
        for entry in reply.model_version_status
    ]
    return sorted(found, key=lambda status: status.version, reverse=True)
