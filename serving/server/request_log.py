"""Requests kept on disk as PredictionLog records, the form that warmup files have.

    cp PREFIX-20260102T030405-00000 MODEL/VERSION/assets.extra/tf_serving_warmup_requests

A file is one that warmup takes: whole records, at most as many as warmup replays. Records are
written by a thread of their own; when the disk is too slow they are dropped, not waited for.
"""

import logging
import queue
import random
import threading
import time
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.server.errors import invalid_argument
from serving.server.warmup import MAX_RECORDS

log = logging.getLogger(__name__)

MAX_QUEUED = 1000
FIELDS = {
    "Predict": "predict_log",
    "Classify": "classify_log",
    "Regress": "regress_log",
    "MultiInference": "multi_inference_log",
}


class RequestLog:
    """Writes a share of all requests to files whose names begin with `prefix`.

    Args:
        prefix: A path; its folder must be there.
        rate: Which share of requests is kept, 0 to 1.
        max_bytes: A file that has reached this size is followed by the next.
        seed: Of the draws, for tests.

    Raises:
        ServingError: INVALID_ARGUMENT if the folder is not there.
    """

    def __init__(
        self, prefix: Path, *, rate: float, max_bytes: int, seed: int | None = None
    ) -> None:
        if not prefix.parent.is_dir():
            raise invalid_argument(f"the folder of the request log, {prefix.parent}, is not there")
        started = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self._prefix = f"{prefix}-{started}"
        self._rate = rate
        self._max_bytes = max_bytes
        self._draws = random.Random(seed)
        self._queue: queue.Queue[bytes | None] = queue.Queue(MAX_QUEUED)
        self._thread = threading.Thread(target=self._write, name="request-log", daemon=True)
        self._thread.start()

    def wants(self) -> bool:
        """Whether the next request is to be kept."""
        return self._draws.random() < self._rate

    def put(self, api: str, request: Any, reply: Any) -> bool:
        """Keep a request and its reply; False if there is no room."""
        record = prediction_log_pb2.PredictionLog()
        part = getattr(record, FIELDS[api])
        part.request.CopyFrom(request)
        part.response.CopyFrom(reply)
        spec = request.tasks[0].model_spec if api == "MultiInference" else request.model_spec
        record.log_metadata.model_spec.CopyFrom(spec)
        record.log_metadata.sampling_config.sampling_rate = self._rate
        record.log_metadata.timestamp_secs = int(time.time())
        try:
            self._queue.put_nowait(record.SerializeToString())
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Write what is waiting and end the file."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        number = 0
        record = self._queue.get()
        while record is not None:
            file = f"{self._prefix}-{number:05d}"
            try:
                record = self._fill(file, record)
            except (OSError, tf.errors.OpError) as error:
                log.error("the request log cannot be written: %s: %s", file, error)
                record = self._queue.get()
            number += 1

    def _fill(self, file: str, record: bytes | None) -> bytes | None:
        """Write records until the file is full; the first that belongs to the next one."""
        written = count = 0
        with tf.io.TFRecordWriter(file) as writer:
            while record is not None and written < self._max_bytes and count < MAX_RECORDS:
                writer.write(record)
                written, count = written + len(record), count + 1
                if self._queue.empty():
                    writer.flush()  # who looks at a quiet server's log sees all of it
                record = self._queue.get()
        return record
