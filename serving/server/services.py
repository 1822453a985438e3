"""The gRPC services: each method decodes a request, calls the engine and encodes its answer."""

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.server import methods, model_config, tensors
from serving.server.classification import examples_in, tasks_in
from serving.server.engine import Classification, Engine, ModelChoice, Regression
from serving.server.errors import Code, NotAtOnce, ServingError, invalid_argument
from serving.server.metrics import Metrics
from serving.server.observation import Observer
from serving.server.observed import observe
from serving.server.prediction import ProtoInputs
from serving.server.workers import Workers

log = logging.getLogger(__name__)

Reply = TypeVar("Reply")

MAX_MESSAGE_BYTES = 2**31 - 1
MAX_ERROR_CHARACTERS = 1024
SIGNATURES_FIELD = "signature_def"
MODULES = (prediction_service_pb2, model_service_pb2)
SERVICES = tuple(
    service.full_name
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
)


def make_server(
    engine: Engine,
    *,
    threads: int,
    channel_arguments: Sequence[tuple[str, int | str]] = (),
    as_content: bool = False,
    has_health: bool = False,
    max_waiting: int = 1000,
    max_request_bytes: int = MAX_MESSAGE_BYTES,
    observer: Observer | None = None,
) -> grpc.Server:
    """A gRPC server for `engine`, without a port yet, that runs `threads` requests at a time.

    A call that would find more than `max_waiting` before it is refused with RESOURCE_EXHAUSTED,
    and so is a larger message.
    `as_content` answers Predict in raw bytes instead of typed lists; `has_health` adds
    grpc.health.v1.Health. Reflection is always there.
    """
    options: dict[str, int | str] = {
        "grpc.max_receive_message_length": max_request_bytes,
        "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
        "grpc.so_reuseport": 0,  # a second server on the same port is a mistake
        **dict(channel_arguments),
    }
    # Who asks for a state, or waits for a reload, takes no thread from those who ask a model.
    workers, others = Workers(threads, name="request"), Workers(threads + max_waiting, name="other")
    server = grpc.server(
        methods.Calls(others),  # type: ignore[arg-type]
        maximum_concurrent_rpcs=threads + max_waiting,
        options=list(options.items()),
    )
    for pool in (workers, others):
        weakref.finalize(server, pool.shutdown, wait=False)
    services = [PredictionService(e, as_content=as_content) for e in (engine, engine.at_once())]
    if observer is not None:
        for service in services:
            observe(service, observer)
    _register(server, prediction_service_pb2, services[0], workers, at_once=services[1])
    metrics = observer.metrics if observer else None
    _register(server, model_service_pb2, ModelService(engine, metrics), others)
    names = [*SERVICES, *(_offer_health(server) if has_health else ()), reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server)
    return server


def _offer_health(server: grpc.Server) -> list[str]:
    """All services are well as long as somebody answers; the name under which that is told."""
    service = health.HealthServicer()
    for name in ("ModelService", "PredictionService", *SERVICES):
        service.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(service, server)
    return [health.SERVICE_NAME]


def _register(
    server: grpc.Server, module: Any, service: Any, workers: Workers, **more: Any
) -> None:
    for descriptor in module.DESCRIPTOR.services_by_name.values():
        methods.register(server, descriptor, service, workers=workers, **more)


def _answer(context: grpc.ServicerContext, method: Callable[[], Reply]) -> Reply:
    """The method's reply, or its refusal as the call's status; a bug is INTERNAL and logged."""
    try:
        return method()
    except NotAtOnce:
        raise
    except ServingError as error:
        code, message = error.code, error.message
    except Exception as error:
        log.exception("a request failed unexpectedly")
        code, message = Code.INTERNAL, f"{type(error).__name__}: {error}"
    if len(message) > MAX_ERROR_CHARACTERS:
        message = message[:MAX_ERROR_CHARACTERS] + "...TRUNCATED"
    context.abort(grpc.StatusCode[code.name], message)


def _choice(request: Any) -> ModelChoice:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    spec = request.model_spec
    return ModelChoice(
        name=spec.name,
        version=spec.version.value if spec.HasField("version") else None,
        label=spec.version_label if spec.HasField("version_label") else None,
    )


def write_spec(model: str, answer: Any, spec: Any) -> None:
    """What was resolved: name, signature and version, never the label."""
    spec.name = model
    spec.signature_name = answer.signature
    spec.version.value = answer.version


def write_classes(answer: Classification, result: Any) -> None:
    """One list of (label, score) for each example; a part that the model lacks stays empty."""
    result.SetInParent()
    present = [array for array in (answer.classes, answer.scores) if array is not None]
    for row in range(present[0].shape[0]):
        classes = result.classifications.add().classes
        for column in range(present[0].shape[1]):
            entry = classes.add()
            if answer.classes is not None:
                entry.label = _text(answer.classes[row, column])
            if answer.scores is not None:
                entry.score = answer.scores[row, column]


def _text(label: bytes) -> str:
    try:
        return label.decode()
    except UnicodeDecodeError as error:
        raise invalid_argument(f"classes hold {label!r}, which is not UTF-8 text") from error


def write_values(answer: Regression, result: Any) -> None:
    """One value for each example."""
    result.SetInParent()
    for value in answer.values.tolist():
        result.regressions.add(value=value)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """tensorflow.serving.PredictionService; the method names are the protocol's."""

    def __init__(self, engine: Engine, *, as_content: bool = False) -> None:
        self._engine = engine
        self._as_content = as_content

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _answer(context, lambda: self._predict(request, context.time_remaining()))

    def _predict(self, request: Any, timeout_seconds: float | None) -> Any:
        choice = _choice(request)
        answer = self._engine.predict(
            choice,
            ProtoInputs(request.inputs),
            signature=request.model_spec.signature_name,
            output_filter=request.output_filter,
            timeout_seconds=timeout_seconds,
        )
        reply = predict_pb2.PredictResponse()
        write_spec(choice.name, answer, reply.model_spec)
        for name, array in answer.outputs.items():
            try:
                tensors.encode(array, reply.outputs[name], as_content=self._as_content)
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
        return _answer(context, lambda: self._classify(request, context.time_remaining()))

    def _classify(self, request: Any, timeout_seconds: float | None) -> Any:
        choice = _choice(request)
        answer = self._engine.classify(
            choice,
            examples_in(request.input),
            signature=request.model_spec.signature_name,
            timeout_seconds=timeout_seconds,
        )
        reply = classification_pb2.ClassificationResponse()
        write_spec(choice.name, answer, reply.model_spec)
        write_classes(answer, reply.result)
        return reply

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _answer(context, lambda: self._regress(request, context.time_remaining()))

    def _regress(self, request: Any, timeout_seconds: float | None) -> Any:
        choice = _choice(request)
        answer = self._engine.regress(
            choice,
            examples_in(request.input),
            signature=request.model_spec.signature_name,
            timeout_seconds=timeout_seconds,
        )
        reply = regression_pb2.RegressionResponse()
        write_spec(choice.name, answer, reply.model_spec)
        write_values(answer, reply.result)
        return reply

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _answer(context, lambda: self._multi_inference(request, context.time_remaining()))

    def _multi_inference(self, request: Any, timeout_seconds: float | None) -> Any:
        if not request.tasks:
            raise invalid_argument("Missing ModelSpec")
        choice = _choice(request.tasks[0])  # the first task chooses the version for all
        answers = self._engine.multi_inference(
            choice,
            tasks_in(request),
            examples_in(request.input),
            timeout_seconds=timeout_seconds,
        )
        reply = inference_pb2.MultiInferenceResponse()
        for answer in answers:
            result = reply.results.add()
            write_spec(choice.name, answer, result.model_spec)
            if isinstance(answer, Classification):
                write_classes(answer, result.classification_result)
            else:
                write_values(answer, result.regression_result)
        return reply


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """tensorflow.serving.ModelService; the method names are the protocol's.

    `metrics` has the counters whose increase a reload may ask for; without it they stand still.
    """

    def __init__(self, engine: Engine, metrics: Metrics | None = None) -> None:
        self._engine = engine
        self._metrics = metrics

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
        return _answer(context, lambda: self._reload(request, context))

    def _reload(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        before = {name: self._total(name) for name in request.metric_names}
        self._engine.reload(
            model_config.from_message(request.config),
            is_cancelled=lambda: not context.is_active(),
        )
        reply = model_management_pb2.ReloadConfigResponse()
        reply.status.SetInParent()  # OK; a refusal is the status of the call itself
        for name, total in before.items():
            reply.metric.add(name=name, int64_value_increase=self._total(name) - total)
        return reply

    def _total(self, name: str) -> int:
        return self._metrics.total(name) if self._metrics else 0
