"""The batching parameters file, in TF Serving's text format."""

import os
from pathlib import Path

from serving.server.batching import Parameters
from serving.server.declared import declare
from serving.server.errors import ServingError, invalid_argument
from serving.server.model_config import read_text_message

OF_VERSION = "batching_params.pbtxt"  # in the folder of a version, for that version alone

_INTEGER = {"value": "int64"}
BatchingParameters = declare(
    "BatchingParameters",
    {
        "max_batch_size": _INTEGER,
        "batch_timeout_micros": _INTEGER,
        "max_enqueued_batches": _INTEGER,
        "num_batch_threads": _INTEGER,
        "thread_pool_name": {"value": "string"},
        "allowed_batch_sizes": "*int64",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": {"value": "bool"},
        "max_execution_batch_size": _INTEGER,
    },
)


def read(file: Path | None) -> Parameters:
    """The parameters in a file; what it leaves out, or without a file all, is TF Serving's.

    Raises:
        ServingError: INVALID_ARGUMENT if it cannot be read or a value is out of its range.
    """
    message = BatchingParameters()
    if file is not None:
        read_text_message(file, message)
    values = {
        field.name: value.value if field.message_type else value
        for field, value in message.ListFields()
    }
    if "allowed_batch_sizes" in values:
        values["allowed_batch_sizes"] = tuple(values["allowed_batch_sizes"])
    try:
        return Parameters(**{"num_batch_threads": os.cpu_count() or 1, **values})
    except ServingError as error:
        raise invalid_argument(f"{file}: {error.message}") from error
