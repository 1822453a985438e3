"""Recorded requests, replayed on a version before callers can reach it.

The first request on a fresh graph pays for its optimisation and compilation; a SavedModel may
carry requests (TFRecord of PredictionLog) that pay this price at load time instead.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.server.classification import (
    classify,
    examples_in,
    multi_inference,
    regress,
    tasks_in,
)
from serving.server.completeness import WARMUP_FILE
from serving.server.errors import Code, ServingError
from serving.server.prediction import ProtoInputs, predict
from serving.server.saved_model import LoadedModel

MAX_RECORDS = 1000


def replay(model: LoadedModel, path: Path, *, iterations: int = 1) -> int:
    """Run the records that the version folder `path` holds, if any; how many there were.

    Raises:
        ServingError: if a record is damaged or fails, or if there are more than MAX_RECORDS.
    """
    file = path / WARMUP_FILE
    if not file.is_file():
        return 0
    records = _records(file)
    for record in records:
        kind = record.WhichOneof("log_type")
        ask = _ASK.get(kind)
        if ask is None:
            raise ServingError(
                Code.UNIMPLEMENTED, f"{file}: records of kind {kind} cannot be replayed"
            )
        request = getattr(record, kind).request
        for _ in range(iterations):
            ask(model, request)
    return len(records)


def _predict(model: LoadedModel, request: Any) -> None:
    predict(
        model,
        request.model_spec.signature_name,
        ProtoInputs(request.inputs),
        output_filter=request.output_filter,
    )


def _classify(model: LoadedModel, request: Any) -> None:
    classify(model, request.model_spec.signature_name, examples_in(request.input))


def _regress(model: LoadedModel, request: Any) -> None:
    regress(model, request.model_spec.signature_name, examples_in(request.input))


def _multi_inference(model: LoadedModel, request: Any) -> None:
    multi_inference(model, tasks_in(request), examples_in(request.input))


_ASK: dict[str | None, Callable[[LoadedModel, Any], None]] = {
    "predict_log": _predict,
    "classify_log": _classify,
    "regress_log": _regress,
    "multi_inference_log": _multi_inference,
}


def _records(file: Path) -> list[prediction_log_pb2.PredictionLog]:
    records = []
    try:
        for text in tf.data.TFRecordDataset(str(file)).take(MAX_RECORDS + 1).as_numpy_iterator():
            records.append(prediction_log_pb2.PredictionLog.FromString(text))
    except Exception as error:  # a checksum, a length or a message that does not parse
        raise ServingError(Code.DATA_LOSS, f"{file}: damaged record: {error}") from error
    if len(records) > MAX_RECORDS:
        raise ServingError(
            Code.INVALID_ARGUMENT, f"{file} holds more than {MAX_RECORDS} warmup records"
        )
    return records
