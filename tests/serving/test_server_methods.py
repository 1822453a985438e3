"""Who answers a call: the thread that has its message at once, or a worker."""

import contextlib
import re

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.server import methods, saved_model
from serving.server.batching import Batching, Parameters, Scheduler
from serving.server.engine import Engine
from serving.server.metrics import Metrics
from serving.server.observation import Observer
from serving.server.repository import Policy, Repository
from serving.server.services import make_server
from serving.server.workers import Workers

TIMEOUT = 30.0
STEADY = 3


class Plain(tf.Module):
    """Nothing in it takes its time."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def more(self, x):
        return {"y": x + 1}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def rate(self, inputs):
        return {"outputs": tf.cast(tf.strings.length(inputs), tf.float32)[:, None]}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder, plain = tmp_path_factory.mktemp("plain"), Plain()
    signatures = {"serving_default": plain.more, "rate": plain.rate}
    tf.saved_model.save(plain, str(folder / "1"), signatures)
    return folder


@pytest.fixture
def serve(base, monkeypatch):
    """Starts a server; its stub, and a list of what workers were given."""
    monkeypatch.setattr(saved_model, "QUICK_SECONDS", TIMEOUT)
    monkeypatch.setattr(saved_model, "AT_ONCE_SECONDS", TIMEOUT)
    monkeypatch.setattr(saved_model, "STEADY_RUNS", STEADY)
    taken, closing = [], []
    take = Workers.take

    def noted(workers, future, fn, *args, **kwargs):
        taken.append(args)
        take(workers, future, fn, *args, **kwargs)

    monkeypatch.setattr(Workers, "take", noted)

    def serve(*, batching=None, **options):
        repository = Repository(
            "m", base, lambda path: saved_model.load(path, batching=batching), policy=Policy()
        )
        repository.refresh()
        server = make_server(Engine({"m": repository}), threads=2, **options)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        closing.extend([channel.close, lambda: server.stop(None).wait(), repository.close])
        return prediction_service_pb2_grpc.PredictionServiceStub(channel), taken

    yield serve
    for close in closing:
        close()


def request(x, model="m"):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
    return message


def ask(stub, size=1):
    x = np.arange(size, dtype=np.float32)
    reply = stub.Predict(request(x), timeout=TIMEOUT)
    assert list(reply.outputs["y"].float_val) == list(x + 1)
    return reply


def test_what_is_quick_again_and_again_is_answered_at_once(serve):
    stub, taken = serve()
    replies = [ask(stub) for _ in range(STEADY + 10)]
    assert len(taken) == STEADY
    assert all(reply == replies[0] for reply in replies)


def test_larger_requests_have_to_show_it_themselves(serve):
    stub, taken = serve()
    for _ in range(STEADY):
        ask(stub)
    for _ in range(STEADY + 2):
        ask(stub, size=9)
    assert len(taken) == 2 * STEADY


def test_large_messages_are_a_workers(serve, monkeypatch):
    monkeypatch.setattr(methods, "SMALL_BYTES", 100)
    stub, taken = serve()
    for _ in range(STEADY + 2):
        ask(stub, size=100)
    assert len(taken) == STEADY + 2


def test_after_a_slow_run_all_is_shown_anew(serve, monkeypatch):
    stub, taken = serve()
    for _ in range(STEADY + 1):
        ask(stub)
    monkeypatch.setattr(saved_model, "QUICK_SECONDS", -1.0)
    ask(stub)
    monkeypatch.setattr(saved_model, "QUICK_SECONDS", TIMEOUT)
    for _ in range(STEADY + 2):
        ask(stub)
    assert len(taken) == 2 * STEADY


def test_what_is_not_short_is_a_workers(serve, monkeypatch):
    monkeypatch.setattr(saved_model, "AT_ONCE_SECONDS", 0.0)
    stub, taken = serve()
    for _ in range(STEADY + 5):
        ask(stub)
    assert len(taken) == STEADY + 5


def test_requests_that_share_a_run_are_workers(serve):
    with contextlib.closing(Scheduler(threads=1)) as scheduler:
        batching = Batching(
            scheduler=scheduler, parameters=Parameters(max_batch_size=4, batch_timeout_micros=0)
        )
        stub, taken = serve(batching=batching)
        for _ in range(STEADY + 2):
            ask(stub)
        assert len(taken) == STEADY + 2


def test_examples_and_metadata_may_be_answered_at_once(serve):
    stub, taken = serve()
    message = regression_pb2.RegressionRequest()
    message.model_spec.name, message.model_spec.signature_name = "m", "rate"
    message.input.example_list.examples.add().features.feature["a"].int64_list.value.append(1)
    for _ in range(STEADY + 2):
        (value,) = stub.Regress(message, timeout=TIMEOUT).result.regressions
        assert value.value == len(message.input.example_list.examples[0].SerializeToString())
    assert len(taken) == STEADY
    about = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    about.model_spec.name = "m"
    assert stub.GetModelMetadata(about, timeout=TIMEOUT).model_spec.version.value == 1
    assert len(taken) == STEADY


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (request(["text"]), grpc.StatusCode.INVALID_ARGUMENT, "float but string is provided"),
        (request([1.0], model="n"), grpc.StatusCode.NOT_FOUND, "Latest(n)"),
    ],
)
def test_refusals_are_a_workers_and_counted_once(serve, given, code, text):
    metrics = Metrics()
    stub, taken = serve(observer=Observer(metrics=metrics))
    for _ in range(STEADY + 5):
        ask(stub)
    for _ in range(2):
        with pytest.raises(grpc.RpcError, match=re.escape(text)) as caught:
            stub.Predict(given, timeout=TIMEOUT)
        assert caught.value.code() == code
    assert len(taken) == STEADY + 2
    lines = metrics.page().decode().splitlines()
    counts = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in lines}
    name, where = ":tensorflow:serving:request_count", 'signature="serving_default"'
    assert counts[f'{name}{{model_name="m",status="OK",{where}}}'] == str(STEADY + 5)
    refused = f'{name}{{model_name="{given.model_spec.name}",status="{code.name}",{where}}}'
    assert counts[refused] == "2"


def test_a_bug_is_told_by_a_worker_and_the_server_goes_on(serve, monkeypatch):
    stub, _ = serve()
    for _ in range(STEADY + 1):
        ask(stub)

    def fail(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(saved_model.LoadedModel, "_run", fail)
    with pytest.raises(grpc.RpcError, match="ZeroDivisionError: a bug") as caught:
        stub.Predict(request([1.0]), timeout=TIMEOUT)
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    monkeypatch.undo()
    ask(stub)
