"""gRPC methods whose requests are parsed here rather than by grpcio.

grpcio 1.85 keeps some 16 KiB for ever of each request that it cannot parse, so anyone who
reaches the port could fill the memory; and it calls the caller's mistake INTERNAL.
"""

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import DecodeError


def register(server: grpc.Server, descriptor: Any, service: Any) -> None:
    """Offer the methods of `service`, which are those of the ServiceDescriptor `descriptor`."""
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            _parsed(
                getattr(service, method.name), message_factory.GetMessageClass(method.input_type)
            ),
            response_serializer=_serialized,
        )
        for method in descriptor.methods
        if not (method.client_streaming or method.server_streaming)
    }
    name = descriptor.full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    server.add_registered_method_handlers(name, handlers)  # type: ignore[attr-defined]


def _parsed(answer: Callable[[Any, Any], Any], message: type[Any]) -> Callable[[bytes, Any], Any]:
    def method(text: bytes, context: grpc.ServicerContext) -> Any:
        try:
            request = message.FromString(text)
        except DecodeError:
            name = message.DESCRIPTOR.full_name
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"The request is no {name}.")
        return answer(request, context)

    return method


def _serialized(reply: Any) -> bytes:
    text: bytes = reply.SerializeToString()
    return text
