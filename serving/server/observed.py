"""The gRPC service under the observer's eyes, without its knowing."""

from collections.abc import Callable
from typing import Any

from serving.server.errors import Code, NotAtOnce
from serving.server.observation import Call, Observer

APIS = ("Predict", "Classify", "Regress", "MultiInference")


def observe(service: Any, observer: Observer) -> None:
    """Tell `observer` of every request that runs a model.

    The service's methods are replaced before gRPC sees them; an interceptor would do the same
    and cost each call several times as much.
    """
    for api in APIS:
        setattr(service, api, _watched(api, getattr(service, api), observer))


def _watched(
    api: str, answer: Callable[[Any, Any], Any], observer: Observer
) -> Callable[[Any, Any], Any]:
    def watched(request: Any, context: Any) -> Any:
        call = observer.begin(api, "GRPC")
        _describe(call, request)
        try:
            reply = answer(request, context)
        except NotAtOnce:  # it is answered another time
            raise
        except BaseException:
            code = context.code()
            number = code.value[0] if code is not None else Code.INTERNAL
            text = (context.details() or b"").decode("utf-8", "replace")
            observer.end(call, Code(number), text)
            raise
        observer.end(call, Code.OK)
        observer.keep(call, lambda: (request, reply))
        return reply

    return watched


def _describe(call: Call, request: Any) -> None:
    if call.api == "MultiInference":
        if request.tasks:
            call.model = request.tasks[0].model_spec.name
            call.signature = request.tasks[0].model_spec.signature_name
    else:
        spec = request.model_spec
        call.model, call.signature = spec.name, spec.signature_name
    if call.api != "Predict":
        kind = request.input.WhichOneof("kind")
        call.examples = len(getattr(request.input, kind).examples) if kind else 0
