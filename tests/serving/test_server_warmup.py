"""Warmup records: replayed before a version is offered, and reasons to refuse it."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.server import completeness, saved_model, warmup
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
    file = folder / completeness.WARMUP_FILE
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


CLASSIFY = "tensorflow/serving/classify"


def example_records():
    """One record of each kind that takes tf.Examples."""
    classify, regress, multi = (prediction_log_pb2.PredictionLog() for _ in range(3))
    regress.regress_log.request.model_spec.signature_name = "regress"
    task = multi.multi_inference_log.request.tasks.add(method_name=CLASSIFY)
    task.model_spec.name = "m"
    requests = (classify.classify_log, regress.regress_log, multi.multi_inference_log)
    for log in requests:
        log.request.input.example_list.examples.add()
    return [classify, regress, multi]


def test_records_of_examples_are_replayed_too_each_as_often_as_wanted(folder, examples_folder):
    loaded, runs = saved_model.load(examples_folder), []

    class Counted(saved_model.LoadedModel):
        def run(self, *arguments, **options):
            runs.append(arguments)
            return super().run(*arguments, **options)

    write(folder, *example_records())
    assert warmup.replay(Counted(loaded.signatures, loaded._session), folder, iterations=3) == 3
    assert len(runs) == 9
    loaded.close()


def test_examples_that_fail_fail_the_load(model, folder):
    write(folder, *example_records())
    with pytest.raises(ServingError) as caught:
        warmup.replay(model, folder)  # the zoo's default signature takes no examples
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_records_of_other_kinds_are_refused(model, folder):
    session = prediction_log_pb2.PredictionLog()
    session.session_run_log.SetInParent()
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
