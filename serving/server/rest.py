"""The REST service: a method and a path in, a status and a body out; the engine answers.

Everything below /v1 is TF Serving's: paths, bodies, codes and the layout of replies. `/models`
and `/ready` are this server's own; TF Serving answers 404 there.
"""

import json
import logging
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from serving.server import json_examples, json_input, json_output, messages
from serving.server.engine import Engine, ModelChoice
from serving.server.errors import Code, ServingError, invalid_argument
from serving.server.observation import Call, Observer
from serving.server.repository import State
from serving.server.versions import MAX_VERSION

log = logging.getLogger(__name__)

_CHOICE = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_CHOICE}:(?P<method>classify|regress|predict)", re.IGNORECASE
)
_LOOK = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_CHOICE}(?:/(?P<what>metadata))?", re.IGNORECASE
)

HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request; `path` is as it came, still quoted, `arrived` on the monotonic clock."""

    method: str
    path: str
    body: bytes
    arrived: float


@dataclass(frozen=True)
class Reply:
    """What goes back; `closes` ends the connection, whatever the caller still sends."""

    status: int
    body: bytes
    content_type: str = "application/json"
    closes: bool = False


@dataclass(frozen=True)
class _Asked:
    """A request to run a model, as far as it has been read."""

    choice: ModelChoice
    body: json_input.Body
    watched: Call
    seconds: float


def refusal(error: ServingError) -> Reply:
    """The reply that carries an error."""
    return Reply(HTTP_STATUS.get(error.code, 500), json_output.error(error.message))


class RestService:
    """TF Serving's REST interface; `timeout_seconds` is what a request may take in all."""

    def __init__(
        self, engine: Engine, *, timeout_seconds: float, observer: Observer | None = None
    ) -> None:
        self._engine = engine
        self._timeout_seconds = timeout_seconds
        self._observer = observer or Observer()

    def answer(self, request: Request) -> Reply:
        """The reply to a request below /v1, a refusal included; a bug is 500 and logged."""
        call = _CALL.fullmatch(request.path) if request.method == "POST" else None
        watched = self._observer.begin(call["method"].capitalize() if call else "", "REST")
        try:
            body = self._call(call, request, watched) if call else self._look(request)
        except ServingError as error:  # kept no longer: it holds this frame, and with it the body
            return self._refused(error, call, watched)
        except Exception as failure:
            log.exception("a request failed unexpectedly")
            text = f"{type(failure).__name__}: {failure}"
            return self._refused(ServingError(Code.INTERNAL, text), call, watched)
        if call:
            self._observer.end(watched, Code.OK)
        return Reply(HTTPStatus.OK, body)

    def _refused(self, error: ServingError, call: re.Match[str] | None, watched: Call) -> Reply:
        if call:
            self._observer.end(watched, error.code, error.message)
        return refusal(error)

    def _call(self, call: re.Match[str], request: Request, watched: Call) -> bytes:
        choice = _choice(call)
        body = json_input.parse(request.body)
        watched.model, watched.signature = choice.name, body.signature
        asked = _Asked(choice, body, watched, self._left(request))
        if watched.api == "Predict":
            return self._predict(asked)
        return self._classify(asked) if watched.api == "Classify" else self._regress(asked)

    def _look(self, request: Request) -> bytes:
        look = _LOOK.fullmatch(request.path) if request.method == "GET" else None
        if not look:
            raise invalid_argument(f"Malformed request: {request.method} {request.path}")
        if not look["name"]:
            raise invalid_argument("Missing model name in request.")
        return self._metadata(_choice(look)) if look["what"] else self._status(_choice(look))

    def _left(self, request: Request) -> float:
        return self._timeout_seconds - (time.monotonic() - request.arrived)

    def _predict(self, asked: _Asked) -> bytes:
        signature = asked.body.signature
        infos, optional = self._inputs(asked.choice, signature)
        tensors = json_input.predict_inputs(asked.body, infos, optional=optional)
        answer = self._engine.predict(
            asked.choice, tensors.inputs, signature=signature, timeout_seconds=asked.seconds
        )
        write = json_output.predictions if tensors.by_rows else json_output.outputs
        text = write(answer.outputs)
        self._observer.keep(
            asked.watched, lambda: messages.predict(asked.choice.name, tensors.inputs, answer)
        )
        return text

    def _inputs(self, choice: ModelChoice, signature: str) -> tuple[dict[str, Any], set[str]]:
        """The signature's TensorInfos by name, and the names of those that have a default."""
        _, signatures = self._engine.signatures(choice)
        name = signature or "serving_default"
        if name not in signatures:
            raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
        inputs = signatures[name].inputs
        if not inputs:
            raise invalid_argument(
                f"Failed to get input map for signature: {signature or 'DEFAULT'}"
            )
        return {key: inputs[key] for key in sorted(inputs)}, set(signatures[name].defaults)

    def _classify(self, asked: _Asked) -> bytes:
        examples = json_examples.examples(asked.body)
        answer = self._engine.classify(
            asked.choice, examples, signature=asked.body.signature, timeout_seconds=asked.seconds
        )
        asked.watched.examples = len(examples)
        self._observer.keep(
            asked.watched, lambda: messages.classify(asked.choice.name, examples, answer)
        )
        return json_output.classifications(answer.classes, answer.scores)

    def _regress(self, asked: _Asked) -> bytes:
        examples = json_examples.examples(asked.body)
        answer = self._engine.regress(
            asked.choice, examples, signature=asked.body.signature, timeout_seconds=asked.seconds
        )
        asked.watched.examples = len(examples)
        self._observer.keep(
            asked.watched, lambda: messages.regress(asked.choice.name, examples, answer)
        )
        return json_output.regressions(answer.values)

    def _status(self, choice: ModelChoice) -> bytes:
        reply = get_model_status_pb2.GetModelStatusResponse()
        for status in self._engine.statuses(choice.name, version=choice.version):
            entry = reply.model_version_status.add(version=status.version, state=int(status.state))
            entry.status.error_code = int(status.code)
            entry.status.error_message = status.message
        return _as_json(reply)

    def _metadata(self, choice: ModelChoice) -> bytes:
        version, signatures = self._engine.signatures(choice)
        reply = get_model_metadata_pb2.GetModelMetadataResponse()
        reply.model_spec.name = choice.name
        reply.model_spec.version.value = version
        table = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in signatures.items():
            table.signature_def[name].CopyFrom(signature)
        # Two documents in a third: TF Serving writes them so, line breaks included.
        return (
            b'{\n"model_spec":' + _as_json(reply.model_spec) + b',\n"metadata": '
            b'{"signature_def": ' + _as_json(table) + b"}\n}\n"
        )

    def models(self) -> Reply:
        """All models that are served, each with its versions, newest first."""
        listed = [
            {
                "name": name,
                "versions": [
                    {
                        "version": str(status.version),
                        "state": status.state.name,
                        "error_code": status.code.name,
                        "error_message": status.message,
                    }
                    for status in statuses
                ],
            }
            for name, statuses in self._engine.overview().items()
        ]
        return _own(HTTPStatus.OK, {"models": listed})

    def ready(self) -> Reply:
        """200 if every model has an available version, 503 with the names of the others."""
        waiting = [
            name
            for name, statuses in self._engine.overview().items()
            if all(status.state != State.AVAILABLE for status in statuses)
        ]
        status = HTTPStatus.SERVICE_UNAVAILABLE if waiting else HTTPStatus.OK
        return _own(status, {"ready": not waiting, "waiting": waiting})


def _choice(match: re.Match[str]) -> ModelChoice:
    version = match["version"]
    if version is not None and int(version) > MAX_VERSION:
        raise invalid_argument(f"Failed to convert version: {version} to numeric.")
    return ModelChoice(
        name=_unquoted(match["name"]),
        version=None if version is None else int(version),
        label=None if match["label"] is None else _unquoted(match["label"]),
    )


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")


def _as_json(message: Any) -> bytes:
    text: str = json_format.MessageToJson(
        message,
        indent=1,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    return text.encode() + b"\n"


def _own(status: int, value: Any) -> Reply:
    return Reply(status, json.dumps(value, indent=4).encode())
