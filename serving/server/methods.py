"""gRPC methods whose messages are awaited and parsed here rather than by grpcio.

grpcio 1.85 gives a call a thread when it begins and has it wait there, for ever, for the message;
as many calls without a message as there are threads would stop a server. It keeps some 16 KiB for
ever of each request that it cannot parse, so anyone who reaches the port could fill the memory;
and it calls the caller's mistake INTERNAL.

Here grpcio's own thread, the one that reads events, begins to receive the message at once and goes
on with other calls until it is there. What can then be answered without waiting it answers
itself; all else is a worker's (decision 0042). Nothing that grpcio publishes says when a message is
there, so `Calls` knows what grpcio hands to its threads.
"""

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import DecodeError
from grpc import _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from serving.server.errors import NotAtOnce
from serving.server.workers import Workers, do

MESSAGE_SECONDS = 60.0  # for a message to arrive once its call has begun
LOOK_SECONDS = 1.0  # how often to look for calls whose message is late
SMALL_BYTES = 16384  # of a message that may be answered at once
NO_FLAGS = 0


class AtOnce:
    """Stands in for the context of a call that is answered before a worker has it."""

    def time_remaining(self) -> float | None:
        """Nothing waits."""
        return None

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        """Leave the refusal to a worker, who has the call's own context."""
        raise NotAtOnce


AT_ONCE = AtOnce()


class Method:
    """A method of a service, as grpcio calls it: the bytes of a message in, a message out.

    Args:
        answer: What the service does with a request and a context.
        at_once: The same if it does not have to wait; else it raises.
        message: The request's class.
        workers: Who answer all else.
    """

    def __init__(
        self,
        answer: Callable[[Any, Any], Any],
        at_once: Callable[[Any, AtOnce], Any] | None,
        message: type[Any],
        workers: Workers,
    ) -> None:
        self._answer, self._at_once, self._message = answer, at_once, message
        self.workers = workers

    def __call__(self, arrived: tuple[bytes | None], context: grpc.ServicerContext) -> Any:
        """The reply; a call without a message, or with bytes that are none, is refused."""
        (text,), name = arrived, self._message.DESCRIPTOR.full_name
        if text is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"The call has no {name}.")
        try:
            request = self._message.FromString(text)
        except DecodeError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"The request is no {name}.")
        return self._answer(request, context)

    def at_once(self, text: bytes | None) -> bytes | None:
        """The reply's bytes, or None where a worker is to make it or to say why there is none."""
        if self._at_once is None or text is None or len(text) > SMALL_BYTES:
            return None
        try:
            return serialized(self._at_once(self._message.FromString(text), AT_ONCE))
        except Exception:
            return None


class Calls(Executor):
    """What grpcio takes for its threads.

    Args:
        others: Who do what is no `Method`'s, such as the health service's calls.
    """

    def __init__(self, others: Workers) -> None:
        self._others = others
        self._awaited: dict[Future[Any], tuple[float, Any]] = {}  # since when, and the call
        threading.Thread(
            target=_look, args=(weakref.ref(self),), name="arrivals", daemon=True
        ).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A call's future end; `args` are what `grpc._server._handle_unary_unary` gives."""
        if not (len(args) == 7 and isinstance(args[3], Method)):
            return self._others.submit(fn, *args, **kwargs)
        respond, event, state, method, _, *codecs = args
        ended: Future[None] = Future()
        take = _server._receive_message(state, event.call, None)

        def received(operation: Any) -> Any:
            finished = take(operation)
            del self._awaited[ended]
            text, state.request = state.request, None
            reply = method.at_once(text)
            if reply is None:
                task = (respond, event, state, method, lambda: (text,), *codecs)
                method.workers.take(ended, fn, *task)
            else:
                do(ended, _server._status, (event, state, reply), {})
            return finished

        self._awaited[ended] = (time.monotonic(), event.call)
        event.call.start_server_batch((cygrpc.ReceiveMessageOperation(NO_FLAGS),), received)
        state.due.add(_server._RECEIVE_MESSAGE_TOKEN)
        return ended

    def cancel_late(self) -> None:
        """End the calls whose message has not come for too long."""
        limit = time.monotonic() - MESSAGE_SECONDS
        for since, call in list(self._awaited.values()):
            if since < limit:
                call.cancel()


def _look(calls: "weakref.ref[Calls]") -> None:
    """Look for late messages as long as the server is there."""
    while (found := calls()) is not None:
        found.cancel_late()
        del found
        time.sleep(LOOK_SECONDS)


def register(
    server: grpc.Server,
    descriptor: Any,
    service: Any,
    *,
    workers: Workers,
    at_once: Any = None,
) -> None:
    """Offer the methods of `service`, which are those of the ServiceDescriptor `descriptor`.

    `at_once` has methods of the same names that raise rather than wait.
    """
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            Method(
                getattr(service, method.name),
                getattr(at_once, method.name, None),
                message_factory.GetMessageClass(method.input_type),
                workers,
            ),
            response_serializer=serialized,
        )
        for method in descriptor.methods
        if not (method.client_streaming or method.server_streaming)
    }
    name = descriptor.full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    server.add_registered_method_handlers(name, handlers)  # type: ignore[attr-defined]


def serialized(reply: Any) -> bytes:
    """A message as it travels."""
    text: bytes = reply.SerializeToString()
    return text
