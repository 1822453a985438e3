"""The one way in which the server says no: a status code and a sentence."""

from enum import IntEnum


class Code(IntEnum):
    """The status codes that gRPC, TensorFlow and TF Serving share; names and numbers agree."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ServingError(Exception):
    """A request, or the loading of a version, that cannot be done.

    `code` is what a program reads, `message` what a person reads. The messages of the request
    path are part of TF Serving's observable behaviour; clients match on them.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid_argument(message: str) -> ServingError:
    """The request itself is wrong, whatever the state of the server."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def servable_not_found(model: str, version: int | None) -> ServingError:
    """No loaded version fits the request; `version` is None where the latest was asked for."""
    wanted = f"Latest({model})" if version is None else f"Specific({model}, {version})"
    return ServingError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")


class NotAtOnce(Exception):
    """What was asked for at once, or not at all, would have to wait."""
