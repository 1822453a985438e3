"""Recorded requests, replayed on a version before callers can reach it.

The first request on a fresh graph pays for its optimisation and compilation; a SavedModel may
carry requests (TFRecord of PredictionLog) that pay this price at load time instead.
"""

import logging
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.server.errors import Code, ServingError
from serving.server.prediction import ProtoInputs, predict
from serving.server.saved_model import LoadedModel

log = logging.getLogger(__name__)

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000
_OTHER_REQUESTS = ("classify_log", "regress_log", "multi_inference_log")


def replay(model: LoadedModel, path: Path) -> int:
    """Run the records that the version folder `path` holds, if any; how many were run.

    Raises:
        ServingError: if a record is damaged or fails, or if there are more than MAX_RECORDS.
    """
    file = path / WARMUP_FILE
    if not file.is_file():
        return 0
    count = 0
    for record in _records(file):
        kind = record.WhichOneof("log_type")
        if kind == "predict_log":
            request = record.predict_log.request
            predict(
                model,
                request.model_spec.signature_name,
                ProtoInputs(request.inputs),
                output_filter=request.output_filter,
            )
            count += 1
        elif kind in _OTHER_REQUESTS:
            log.warning("warmup record of kind %s skipped: not served here", kind)
        else:
            raise ServingError(
                Code.UNIMPLEMENTED, f"{file}: records of kind {kind} cannot be replayed"
            )
    return count


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
