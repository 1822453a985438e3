"""Warmup records: replayed before a version is offered, and reasons to refuse it."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.server import saved_model, warmup
from serving.server.errors import Code, ServingError


@pytest.fixture
def folder(tmp_path, version_folder):
    return shutil.copytree(version_folder, tmp_path / "1")


@pytest.fixture(scope="module")
def model(version_folder):
    loaded = saved_model.load(version_folder)
    yield loaded
    loaded.close()


def predict_record(signature="", **inputs):
    record = prediction_log_pb2.PredictionLog()
    record.predict_log.request.model_spec.signature_name = signature
    for name, value in inputs.items():
        record.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return record


def write(folder, *records):
    file = folder / warmup.WARMUP_FILE
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records:
            writer.write(record.SerializeToString())
    return file


def test_a_version_without_records_needs_no_warmup(model, folder):
    assert warmup.replay(model, folder) == 0


def test_records_are_replayed(model, folder):
    write(folder, predict_record(x=np.float32([1])), predict_record("upper", text=["a"]))
    assert warmup.replay(model, folder) == 2


def test_a_record_that_fails_fails_the_load(model, folder):
    write(folder, predict_record(x=np.float32([1])), predict_record("check", x=np.float32([-1])))
    with pytest.raises(ServingError) as caught:
        warmup.replay(model, folder)
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_kinds_that_are_not_served_are_skipped_and_others_refused(model, folder, caplog):
    classify, session = prediction_log_pb2.PredictionLog(), prediction_log_pb2.PredictionLog()
    classify.classify_log.SetInParent()
    session.session_run_log.SetInParent()
    file = write(folder, classify)
    assert warmup.replay(model, folder) == 0
    assert "classify_log skipped" in caplog.text
    shutil.rmtree(file.parent)
    write(folder, session)
    with pytest.raises(ServingError, match="session_run_log"):
        warmup.replay(model, folder)


def test_damaged_records_are_refused(model, folder):
    file = write(folder, predict_record(x=np.float32([1])))
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ServingError, match="damaged record") as caught:
        warmup.replay(model, folder)
    assert caught.value.code == Code.DATA_LOSS


def test_too_many_records_are_refused(model, folder, monkeypatch):
    monkeypatch.setattr(warmup, "MAX_RECORDS", 1)
    write(folder, *[predict_record(x=np.float32([1]))] * 2)
    with pytest.raises(ServingError, match="more than 1 warmup records"):
        warmup.replay(model, folder)
