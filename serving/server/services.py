"""The gRPC services: each method decodes a request, calls the engine and encodes its answer."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.server import tensors
from serving.server.engine import Engine, ModelChoice
from serving.server.errors import Code, ServingError, invalid_argument
from serving.server.prediction import ProtoInputs

log = logging.getLogger(__name__)

Reply = TypeVar("Reply")

MAX_MESSAGE_BYTES = 2**31 - 1
MAX_ERROR_CHARACTERS = 1024
SIGNATURES_FIELD = "signature_def"


def make_server(engine: Engine, *, threads: int) -> grpc.Server:
    """A gRPC server for `engine`, without a port yet, that runs `threads` requests at a time."""
    server = grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="request"),
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),  # a second server on the same port is a mistake
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(engine), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(engine), server)
    return server


def _answer(context: grpc.ServicerContext, method: Callable[[], Reply]) -> Reply:
    """The method's reply, or its refusal as the call's status; a bug is INTERNAL and logged."""
    try:
        return method()
    except ServingError as error:
        code, message = error.code, error.message
    except Exception as error:
        log.exception("a request failed unexpectedly")
        code, message = Code.INTERNAL, f"{type(error).__name__}: {error}"
    if len(message) > MAX_ERROR_CHARACTERS:
        message = message[:MAX_ERROR_CHARACTERS] + "...TRUNCATED"
    context.abort(grpc.StatusCode[code.name], message)


def _unimplemented(context: grpc.ServicerContext, method: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method} is not served by this server")


def _choice(request: Any) -> ModelChoice:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    spec = request.model_spec
    return ModelChoice(
        name=spec.name,
        version=spec.version.value if spec.HasField("version") else None,
        label=spec.version_label if spec.HasField("version_label") else None,
    )


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """tensorflow.serving.PredictionService; the method names are the protocol's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _answer(context, lambda: self._predict(request, context.time_remaining()))

    def _predict(self, request: Any, timeout_seconds: float | None) -> Any:
        answer = self._engine.predict(
            _choice(request),
            ProtoInputs(request.inputs),
            signature=request.model_spec.signature_name,
            output_filter=request.output_filter,
            timeout_seconds=timeout_seconds,
        )
        reply = predict_pb2.PredictResponse()
        reply.model_spec.name = request.model_spec.name
        reply.model_spec.signature_name = answer.signature
        reply.model_spec.version.value = answer.version
        for name, array in answer.outputs.items():
            try:
                tensors.encode(array, reply.outputs[name])
            except ValueError as error:
                raise ServingError(Code.UNIMPLEMENTED, f"output {name}: {error}") from error
        return reply

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _answer(context, lambda: self._metadata(request))

    def _metadata(self, request: Any) -> Any:
        choice = _choice(request)
        if not request.metadata_field:
            raise invalid_argument(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in request.metadata_field:
            if field != SIGNATURES_FIELD:
                raise invalid_argument(f"Metadata field {field} is not supported")
        version, signatures = self._engine.signatures(choice)
        reply = get_model_metadata_pb2.GetModelMetadataResponse()
        reply.model_spec.name = choice.name
        reply.model_spec.version.value = version
        table = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in signatures.items():
            table.signature_def[name].CopyFrom(signature)
        reply.metadata[SIGNATURES_FIELD].Pack(table)
        return reply

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        _unimplemented(context, "PredictionService.Classify")

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        _unimplemented(context, "PredictionService.Regress")

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        _unimplemented(context, "PredictionService.MultiInference")


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """tensorflow.serving.ModelService; the method names are the protocol's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _answer(context, lambda: self._status(request))

    def _status(self, request: Any) -> Any:
        choice = _choice(request)
        reply = get_model_status_pb2.GetModelStatusResponse()
        for status in self._engine.statuses(choice.name, version=choice.version):
            entry = reply.model_version_status.add(version=status.version, state=int(status.state))
            entry.status.error_code = int(status.code)
            entry.status.error_message = status.message
        return reply

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:
        _unimplemented(context, "ModelService.HandleReloadConfigRequest")
