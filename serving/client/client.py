"""The client: predict, classify, regress, metadata, status, wait_until_ready, reload."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from serving.client import errors, signatures, tensors, wire
from serving.client.channel import open_channel
from serving.client.errors import InvalidAnswer, InvalidInput
from serving.client.examples import Class, classes_from_wire, values_from_wire, write_input
from serving.client.fitting import check_outputs, choose_signature, fit_all
from serving.client.reloading import ServedModel, read_request, request_for
from serving.client.signatures import ModelMetadata, VersionStatus

Array = np.ndarray[Any, Any]

DEFAULT_TARGET = "localhost:8500"
DEFAULT_TIMEOUT_SECONDS = 60.0
BYTES_SUFFIX = "_bytes"
_PROBE_SECONDS = 5.0  # one status call while waiting for a server


@dataclass(frozen=True)
class _Model:
    """Which model a call means; the key under which its metadata is remembered."""

    name: str
    version: int | None = None
    label: str | None = None

    def spec(self, signature: str = "") -> Any:
        """The wire's ModelSpec.

        Raises:
            InvalidInput: if both a version and a label are given.
        """
        if self.version is not None and self.label is not None:
            raise InvalidInput("give a version or a label, not both")
        spec = wire.ModelSpec(name=self.name, signature_name=signature)
        if self.version is not None:
            spec.version.value = self.version
            spec.version.SetInParent()
        if self.label is not None:
            spec.version_label = self.label
        return spec


class _Deadline:
    """The moment by which a call, with all its parts, must be done."""

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise InvalidInput(f"timeout_seconds must be above 0, not {seconds}")
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then, never negative."""
        return max(0.0, self._end - time.monotonic())


class Client:
    """Calls the models of one server; safe to share between threads.

    `target` is `host:port`, `dns:///host:port` or `unix:path`. Every call has a deadline:
    `timeout_seconds`, here or per call. A `channel` given from outside is used as it is, with
    its own options, and is not closed; credentials, interceptors and fakes come in this way.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        channel: grpc.Channel | None = None,
    ) -> None:
        self._target = target
        self._timeout_seconds = _Deadline(timeout_seconds).seconds
        self._owned = channel is None
        self._channel = channel if channel is not None else open_channel(target)
        self._known: dict[_Model, ModelMetadata] = {}
        self._predict = self._method(wire.PREDICT, wire.PredictResponse)
        self._get_metadata = self._method(wire.METADATA, wire.MetadataResponse)
        self._get_status = self._method(wire.STATUS, wire.StatusResponse)
        self._classify = self._method(wire.CLASSIFY, wire.ClassificationResponse)
        self._regress = self._method(wire.REGRESS, wire.RegressionResponse)
        self._reload = self._method(wire.RELOAD, wire.ReloadConfigResponse)

    def _method(self, path: str, reply: type[Any]) -> Callable[..., Any]:
        return self._channel.unary_unary(
            path,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=reply.FromString,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, unless the channel came from outside."""
        if self._owned:
            self._channel.close()

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        outputs: Iterable[str] = (),
        text: bool = True,
        timeout_seconds: float | None = None,
    ) -> dict[str, Array]:
        """Call `signature` of `model` with inputs by name; its outputs by name.

        Inputs may be numbers, str, bytes, (nested) lists of these, or arrays. They are checked
        against the signature, which is fetched once, and converted to the dtype it wants when
        nothing but float precision is lost. A lone value stands for a batch of one. Inputs with
        defaults may be left out. `version` or `label` choose the version, the latest otherwise;
        `outputs` limits what is computed and returned.

        Outputs keep their shape. String outputs are object arrays of `str`, except those whose
        name ends in `_bytes`, which are `bytes` (the names that TF Serving's REST interface
        treats as binary, too). With `text=False` all of them are `bytes`.

        Raises:
            InvalidInput: if `inputs`, `signature` or `outputs` do not fit the model.
            InvalidAnswer: if a text output is not UTF-8, or the reply is damaged.
            CallError: its subclass for the status code with which the call failed.
        """
        chosen = _Model(model, version, label)
        deadline = self._deadline(timeout_seconds)
        wanted = list(outputs)
        fitted, known = self._fit(chosen, signature, inputs, wanted, deadline=deadline)
        request = wire.PredictRequest(model_spec=chosen.spec(signature), output_filter=wanted)
        for name, tensor in fitted.items():
            request.inputs[name].CopyFrom(tensor)
        reply = self._call(self._predict, request, deadline)
        if reply.model_spec.version.value != known.version:
            self._known.pop(chosen, None)  # another version has taken over
        return {name: _output(name, reply.outputs[name], text) for name in sorted(reply.outputs)}

    def classify(
        self,
        model: str,
        examples: Iterable[Mapping[str, Any]],
        *,
        context: Mapping[str, Any] | None = None,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[list[Class]]:
        """The classes of each example, as (label, score) pairs in the model's order.

        An example is a dict of features: a number, a str, bytes, or a flat list or array of
        these. 1.0 is a float feature and 1 a whole one; which the model wants it knows itself.
        Features in `context` are part of every example that does not name them itself.

        Raises:
            InvalidInput: if there are no examples, or a feature has no form in one.
            CallError: its subclass for the status code with which the call failed.
        """
        request = wire.ClassificationRequest(
            model_spec=_Model(model, version, label).spec(signature)
        )
        write_input(request.input, examples, context)
        reply = self._call(self._classify, request, self._deadline(timeout_seconds))
        return classes_from_wire(reply.result)

    def regress(
        self,
        model: str,
        examples: Iterable[Mapping[str, Any]],
        *,
        context: Mapping[str, Any] | None = None,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Array:
        """One float32 for each example, [batch]; as `classify` in all else."""
        request = wire.RegressionRequest(model_spec=_Model(model, version, label).spec(signature))
        write_input(request.input, examples, context)
        reply = self._call(self._regress, request, self._deadline(timeout_seconds))
        return values_from_wire(reply.result)

    def reload(
        self,
        models: Iterable[ServedModel] | str | PathLike[str],
        *,
        timeout_seconds: float | None = None,
    ) -> None:
        """Make the server serve `models` and no others; returns when they are available.

        A path means a text ModelServerConfig here, as for the server's --model_config_file.
        Should the deadline end the wait, the server goes on with the change.

        Raises:
            InvalidInput: if the file cannot be used.
            CallError: its subclass for the status code with which the call failed.
        """
        if isinstance(models, str | PathLike):
            request = read_request(Path(models))
        else:
            request = request_for(models)
        self._call(self._reload, request, self._deadline(timeout_seconds))

    def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ModelMetadata:
        """The signatures of a loaded version, asked of the server each time.

        Raises:
            InvalidAnswer: if the reply is damaged.
            CallError: its subclass for the status code with which the call failed.
        """
        return self._fetch(_Model(model, version, label), self._deadline(timeout_seconds))

    def status(
        self, model: str, *, version: int | None = None, timeout_seconds: float | None = None
    ) -> list[VersionStatus]:
        """The states of the model's versions, or of one of them, newest first.

        Raises:
            CallError: its subclass for the status code with which the call failed.
        """
        request = wire.StatusRequest(model_spec=_Model(model, version).spec())
        reply = self._call(self._get_status, request, self._deadline(timeout_seconds))
        return signatures.statuses_from_wire(reply)

    def wait_until_ready(self, model: str, *, timeout_seconds: float | None = None) -> int:
        """Wait until a version of `model` is available; the newest such version's number.

        A server that is not there yet, or does not know the model yet, is waited for.

        Raises:
            DeadlineExceeded: if none is available in time; the text says what was seen last.
            CallError: for any other refusal.
        """
        deadline = self._deadline(timeout_seconds)
        pause, seen = 0.05, "no answer"
        while deadline.left() > 0:
            try:
                found = self.status(model, timeout_seconds=min(deadline.left(), _PROBE_SECONDS))
            except (errors.Unavailable, errors.NotFound) as error:
                seen = str(error)
            except errors.DeadlineExceeded:
                pass  # what was seen before says more
            else:
                ready = [status.version for status in found if status.state == "AVAILABLE"]
                if ready:
                    return max(ready)
                seen = ", ".join(f"version {s.version} {s.state} {s.error_message}" for s in found)
            time.sleep(min(pause, deadline.left()))
            pause = min(2 * pause, 1.0)
        raise errors.DeadlineExceeded(
            f"model {model!r} is not ready at {self._target} after {deadline.seconds:g} s; "
            f"last seen: {seen.strip()}",
            grpc.StatusCode.DEADLINE_EXCEEDED,
        )

    def _deadline(self, timeout_seconds: float | None) -> _Deadline:
        return _Deadline(self._timeout_seconds if timeout_seconds is None else timeout_seconds)

    def _fit(
        self,
        chosen: _Model,
        signature: str,
        inputs: Mapping[str, Any],
        outputs: Iterable[str],
        *,
        deadline: _Deadline,
    ) -> tuple[dict[str, Any], ModelMetadata]:
        """Wire tensors for `inputs`, and the metadata that they were checked against.

        What does not fit remembered metadata may fit a version loaded since, so the server is
        asked once more before anything is refused.
        """

        def fit_to(metadata: ModelMetadata) -> dict[str, Any]:
            known_signature = choose_signature(metadata, signature)
            check_outputs(known_signature, outputs)
            return fit_all(known_signature, inputs)

        known = self._known.get(chosen)
        if known is not None:
            try:
                return fit_to(known), known
            except InvalidInput:
                pass
        known = self._fetch(chosen, deadline)
        return fit_to(known), known

    def _fetch(self, chosen: _Model, deadline: _Deadline) -> ModelMetadata:
        request = wire.MetadataRequest(
            model_spec=chosen.spec(), metadata_field=[signatures.SIGNATURES_FIELD]
        )
        reply = self._call(self._get_metadata, request, deadline)
        try:
            known = signatures.metadata_from_wire(reply)
        except (DecodeError, ValueError) as error:
            raise InvalidAnswer(f"damaged metadata of model {chosen.name!r}: {error}") from error
        self._known[chosen] = known
        return known

    def _call(self, method: Callable[..., Any], request: Any, deadline: _Deadline) -> Any:
        try:
            return method(request, timeout=deadline.left())
        except grpc.RpcError as error:
            raise errors.from_rpc(
                error, target=self._target, timeout_seconds=deadline.seconds
            ) from error


def _output(name: str, tensor: Any, text: bool) -> Array:
    try:
        array = tensors.decode(tensor)
    except ValueError as error:
        raise InvalidAnswer(f"output {name!r} is damaged: {error}") from error
    if array.dtype != object or not text or name.endswith(BYTES_SUFFIX):
        return array
    decoded = np.empty(array.size, object)
    try:
        decoded[:] = [element.decode() for element in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidAnswer(
            f"output {name!r} holds bytes that are not UTF-8 text; "
            "predict(..., text=False) returns string outputs as bytes"
        ) from error
    return decoded.reshape(array.shape)
