"""gRPC methods whose requests are awaited and parsed here rather than by grpcio.

grpcio 1.85 keeps some 16 KiB for ever of each request that it cannot parse, so anyone who
reaches the port could fill the memory; and it calls the caller's mistake INTERNAL. It also waits
for ever for the message of a call that has begun, in one of the threads that answer: as many
calls without a message as there are threads would stop a server.
"""

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import DecodeError

MESSAGE_SECONDS = 60.0  # for a message to arrive once its call has begun
LOOK_SECONDS = 1.0  # how often to look for calls whose message is late


class Turns:
    """Lets so many answer at a time; the others wait for their turn."""

    def __init__(self, number: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()  # far cheaper than a semaphore
        for _ in range(number):
            self._free.put(None)

    def __enter__(self) -> None:
        self._free.get()

    def __exit__(self, *_: object) -> None:
        self._free.put(None)


class Arrivals:
    """Cancels calls that have begun and whose message does not come."""

    def __init__(self) -> None:
        self._since: dict[grpc.ServicerContext, float] = {}
        threading.Thread(
            target=_look, args=(weakref.ref(self),), name="arrivals", daemon=True
        ).start()

    def first(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes | None:
        """The call's message; None if it ends without one."""
        self._since[context] = time.monotonic()
        try:
            return next(messages, None)
        finally:
            del self._since[context]

    def cancel_late(self) -> None:
        """End the calls that have waited for too long."""
        limit = time.monotonic() - MESSAGE_SECONDS
        for context, since in list(self._since.items()):
            if since < limit:
                context.cancel()  # type: ignore[no-untyped-call]


def _look(arrivals: "weakref.ref[Arrivals]") -> None:
    """Look for late messages as long as the server is there."""
    while (found := arrivals()) is not None:
        found.cancel_late()
        del found
        time.sleep(LOOK_SECONDS)


def register(
    server: grpc.Server,
    descriptor: Any,
    service: Any,
    *,
    arrivals: Arrivals,
    turns: AbstractContextManager[None],
) -> None:
    """Offer the methods of `service`, which are those of the ServiceDescriptor `descriptor`."""
    handlers = {
        method.name: grpc.stream_unary_rpc_method_handler(
            _parsed(
                getattr(service, method.name),
                message_factory.GetMessageClass(method.input_type),
                arrivals,
                turns,
            ),
            response_serializer=_serialized,
        )
        for method in descriptor.methods
        if not (method.client_streaming or method.server_streaming)
    }
    name = descriptor.full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    server.add_registered_method_handlers(name, handlers)  # type: ignore[attr-defined]


def _parsed(
    answer: Callable[[Any, Any], Any],
    message: type[Any],
    arrivals: Arrivals,
    turns: AbstractContextManager[None],
) -> Callable[[Iterator[bytes], Any], Any]:
    name = message.DESCRIPTOR.full_name

    def method(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        text = arrivals.first(messages, context)
        if text is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"The call has no {name}.")
        try:
            request = message.FromString(text)
        except DecodeError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"The request is no {name}.")
        with turns:
            return answer(request, context)

    return method


def _serialized(reply: Any) -> bytes:
    text: bytes = reply.SerializeToString()
    return text
