"""A client for TF Serving and for `serving.server` that needs numpy, grpcio and protobuf only.

    from serving.client import Client

    with Client("localhost:8500") as client:
        answer = client.predict("gpt", {"prompt": ["The with statement"]}, signature="generate")
        print(answer["text"][0])

From a shell: `python -m serving.client predict gpt prompt="The with statement"`.
"""

from serving.client.client import Client
from serving.client.errors import (
    CallError,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidAnswer,
    InvalidArgument,
    InvalidInput,
    NotFound,
    ResourceExhausted,
    ServingError,
    Unavailable,
    Unimplemented,
)
from serving.client.examples import Class
from serving.client.reloading import ServedModel
from serving.client.signatures import ModelMetadata, Signature, TensorSpec, VersionStatus

__all__ = [
    "CallError",
    "Class",
    "Client",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidAnswer",
    "InvalidArgument",
    "InvalidInput",
    "ModelMetadata",
    "NotFound",
    "ResourceExhausted",
    "ServedModel",
    "ServingError",
    "Signature",
    "TensorSpec",
    "Unavailable",
    "Unimplemented",
    "VersionStatus",
]
