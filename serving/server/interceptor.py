"""gRPC calls under the observer's eyes, without the services knowing."""

from collections.abc import Callable
from typing import Any

import grpc

from serving.server.errors import Code
from serving.server.observation import Call, Observer

_SERVICE = "/tensorflow.serving.PredictionService/"
_APIS = ("Predict", "Classify", "Regress", "MultiInference")


class ObservingInterceptor(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Tells `observer` of every request that runs a model; others pass unseen."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        api = details.method.removeprefix(_SERVICE)
        if handler is None or api not in _APIS:
            return handler
        answer = handler.unary_unary

        def watched(request: Any, context: Any) -> Any:
            call = self._observer.begin(api, "GRPC")
            _describe(call, request)
            try:
                reply = answer(request, context)
            except BaseException:
                code = context.code()
                number = code.value[0] if code is not None else Code.INTERNAL
                text = (context.details() or b"").decode("utf-8", "replace")
                self._observer.end(call, Code(number), text)
                raise
            self._observer.end(call, Code.OK)
            self._observer.keep(call, lambda: (request, reply))
            return reply

        return grpc.unary_unary_rpc_method_handler(
            watched,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _describe(call: Call, request: Any) -> None:
    if call.api == "MultiInference":
        if request.tasks:
            call.model = request.tasks[0].model_spec.name
            call.signature = request.tasks[0].model_spec.signature_name
    else:
        call.model = request.model_spec.name
        call.signature = request.model_spec.signature_name
    if call.api != "Predict":
        kind = request.input.WhichOneof("kind")
        call.examples = len(getattr(request.input, kind).examples) if kind else 0
