"""The exceptions of the client: one tree.

ServingError
├── InvalidInput          the values do not fit the signature; nothing was sent (ValueError)
├── InvalidAnswer         the reply cannot be turned into what was asked for
└── CallError             the server, or the way to it, said no; has `.code`
    ├── InvalidArgument   ├── NotFound           ├── FailedPrecondition
    ├── DeadlineExceeded  ├── Unavailable        ├── ResourceExhausted
    ├── Unimplemented     └── Internal           (any other code: CallError itself)
"""

import grpc


class ServingError(Exception):
    """Anything that keeps a call from giving its answer; the text is one readable sentence."""


class InvalidInput(ServingError, ValueError):
    """What was given does not fit what the model takes; found before anything was sent."""


class InvalidAnswer(ServingError):
    """The server replied with something that cannot be decoded as asked."""


class CallError(ServingError):
    """A call that failed; `code` is gRPC's status code, the text is the server's."""

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.code = code


class InvalidArgument(CallError):
    """The server finds the request wrong: names, dtypes, or what the graph makes of them."""


class NotFound(CallError):
    """The server has no such model or version."""


class FailedPrecondition(CallError):
    """The model is there but cannot do this, for instance for lack of the signature."""


class DeadlineExceeded(CallError):
    """No answer within the timeout."""


class Unavailable(CallError):
    """Nothing answers at the target, or it is going away."""


class ResourceExhausted(CallError):
    """A queue is full or a message too large."""


class Unimplemented(CallError):
    """The server does not have this method."""


class Internal(CallError):
    """The server failed in an unforeseen way."""


_BY_CODE: dict[grpc.StatusCode, type[CallError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.INTERNAL: Internal,
}


def from_rpc(error: grpc.RpcError, *, target: str, timeout_seconds: float) -> CallError:
    """The exception for a failed RPC to `target`."""
    code, details = error.code(), error.details() or ""
    if code == grpc.StatusCode.UNAVAILABLE:
        reason = details.rpartition(": ")[2]  # of a chain, the cause
        details = (
            f"no server answers at {target} ({reason}); is it running, and has it finished "
            "loading its model?"
        )
    elif code == grpc.StatusCode.DEADLINE_EXCEEDED:
        details = f"no answer from {target} within {timeout_seconds:g} s ({details})"
    return _BY_CODE.get(code, CallError)(details or code.name, code)
