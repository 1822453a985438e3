"""What is counted, kept and said of requests, over gRPC and REST alike."""

import contextlib
import http.client
import json
import logging
import re
import shutil
import sys
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from serving.server import saved_model, warmup
from serving.server.batching import Parameters, Scheduler
from serving.server.engine import Engine
from serving.server.errors import Code, ServingError
from serving.server.flags import parse
from serving.server.loading import make_loader
from serving.server.log_lines import JsonLines, PlainLines
from serving.server.metrics import DEFAULT_PATH, MAX_SERIES, Metrics, read_path
from serving.server.observation import Observer
from serving.server.repository import Policy, Repository
from serving.server.request_log import RequestLog
from serving.server.rest import Reply, RestService
from serving.server.services import make_server
from serving.server.web import WebConfig, WebServer, listen

TIMEOUT = 30.0


@pytest.fixture(scope="module")
def repositories(version_folder, examples_folder, tmp_path_factory):
    made = {}
    for name, folder in (("zoo", version_folder), ("more", examples_folder)):
        base = tmp_path_factory.mktemp(name)
        (base / "3").symlink_to(folder)
        made[name] = Repository(name, base, saved_model.load, policy=Policy())
        made[name].refresh()
    yield made
    for repository in made.values():
        repository.close()


class Watched:
    """A server with both ports under one observer."""

    def __init__(self, repositories, observer):
        metrics = observer.metrics
        engine = Engine(repositories, on_run=metrics.run if metrics else None)
        self._grpc = make_server(engine, threads=2, observer=observer)
        target = f"127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self._grpc.start()
        pages = {DEFAULT_PATH: lambda: Reply(200, metrics.page(), "text/plain")} if metrics else {}
        config = WebConfig(threads=2, max_waiting=9, max_request_bytes=2**30, pages=pages)
        service = RestService(engine, timeout_seconds=TIMEOUT, observer=observer)
        self._web = WebServer(service, config, listen("127.0.0.1", 0))
        self._web.start()
        self._channel = grpc.insecure_channel(target)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._channel.close()
        self._grpc.stop(None).wait()
        self._web.stop(5)

    def predict(self, model="zoo", signature="", **inputs):
        message = predict_pb2.PredictRequest()
        message.model_spec.name, message.model_spec.signature_name = model, signature
        for key, value in inputs.items():
            message.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        return self._stub.Predict(message, timeout=TIMEOUT)

    def classify(self, *examples):
        message = classification_pb2.ClassificationRequest()
        message.model_spec.name = "more"
        message.input.example_list.examples.extend(examples)
        return self._stub.Classify(message, timeout=TIMEOUT)

    def rest(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self._web.port, timeout=TIMEOUT)
        connection.request(method, path, body)
        text = connection.getresponse().read().decode()
        connection.close()
        return text


def example(**features):
    message = tf.train.Example()
    for name, value in features.items():
        message.features.feature[name].float_list.value.append(value)
    return message


def test_prometheus_reads_tf_servings_names(repositories):
    with Watched(repositories, Observer(metrics=Metrics())) as server:
        server.predict(x=np.float32([1]))
        server.predict(x=np.float32([1]))
        with pytest.raises(grpc.RpcError):
            server.predict(model='m"\n')
        server.classify(example(x=1, y=2), example(x=1, y=2))
        server.rest("POST", "/v1/models/zoo:predict", '{"instances": [1]}')
        server.rest("POST", "/v1/models/more/versions/3:CLASSIFY", '{"examples": [{"x": 1.0}]}')
        server.rest("POST", "/v1/models/zoo:predict", '{"instances": ["a"]}')
        server.rest("GET", "/v1/models/zoo")  # looks at models are not requests to them
        page = server.rest("GET", DEFAULT_PATH)
    lines = page.splitlines()
    name = ":tensorflow:serving:request_count"
    assert f"# TYPE {name} counter" in lines
    where = 'signature="serving_default"'
    assert f'{name}{{model_name="zoo",status="OK",{where}}} 3' in lines
    assert f'{name}{{model_name="zoo",status="INVALID_ARGUMENT",{where}}} 1' in lines
    assert f'{name}{{model_name="m\\"\\n",status="NOT_FOUND",{where}}} 1' in lines
    for entrypoint, count in (("GRPC", 2), ("REST", 1)):
        labels = f'model_name="zoo",API="Predict",entrypoint="{entrypoint}",{where}'
        name = ":tensorflow:serving:request_latency"
        assert f"{name}_count{{{labels}}} {count}" in lines
        assert f'{name}_bucket{{{labels},le="+Inf"}} {count}' in lines
    runs = 'model_name="zoo",API="Predict",runtime="TF1",signature="serving_default"'
    assert f":tensorflow:serving:runtime_latency_count{{{runs}}} 3" in lines
    assert ':tensorflow:serving:request_example_count_total{model="more"} 3' in lines
    assert ':tensorflow:serving:request_example_counts_bucket{model="more",le="1"} 1' in lines


def test_shared_runs_and_warmups_are_counted_under_tf_servings_names():
    metrics, label = Metrics(), 'thread_pool_name="batch_threads"'
    scheduler = Scheduler(1, on_batch=metrics.batch)
    parameters = Parameters(max_batch_size=4, allowed_batch_sizes=(4,))
    scheduler.submit("k", lambda x, _: [x["x"]], {"x": np.zeros(3)}, parameters)
    scheduler.close()
    metrics.warmup("/models/m/1", Code.OK, 0.5)
    lines = metrics.page().decode().splitlines()
    name = ":tensorflow:serving:batching_session:"
    assert f"{name}wrapped_run_count{{}} 1" in lines
    assert f"{name}queuing_latency_count{{{label}}} 1" in lines
    assert f'{name}queuing_latency_bucket{{{label},le="+Inf"}} 1' in lines
    assert sum(f"{name}queuing_latency_bucket" in line for line in lines) == 53
    assert f"{name}input_batch_size_sum{{}} 3" in lines
    assert f"{name}processed_batch_size_sum{{}} 4" in lines
    assert f'{name}padding_size_sum{{execution_batch_size="4"}} 1' in lines
    labels = 'model_path="/models/m/1",status="OK"'
    assert f":tensorflow:serving:model_warmup_latency_sum{{{labels}}} 500000" in lines


@pytest.mark.parametrize("damaged", [False, True])
def test_a_replayed_warmup_is_counted_with_how_it_ended(version_folder, tmp_path, damaged):
    path = tmp_path / "1"
    shutil.copytree(version_folder, path)
    (path / warmup.WARMUP_FILE).parent.mkdir()
    record = prediction_log_pb2.PredictionLog()
    request = record.predict_log.request
    request.model_spec.signature_name = "nope" if damaged else ""
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([1])))
    with tf.io.TFRecordWriter(str(path / warmup.WARMUP_FILE)) as writer:
        writer.write(record.SerializeToString())
    metrics, config = Metrics(), parse([f"--model_base_path={tmp_path}"])[0]
    load = make_loader(config, metrics)
    with pytest.raises(ServingError) if damaged else contextlib.nullcontext():
        load("m", path).close()
    status = "FAILED_PRECONDITION" if damaged else "OK"
    labels = f'model_path="{path}",status="{status}"'
    assert f"model_warmup_latency_count{{{labels}}} 1" in metrics.page().decode()
    load("m", version_folder).close()
    assert str(version_folder) not in metrics.page().decode()  # nothing to replay there


def test_a_total_is_over_all_labels_and_nothing_where_nothing_is_counted():
    metrics = Metrics()
    metrics.request("a", "s", Code.OK)
    metrics.request("b", "s", Code.NOT_FOUND)
    metrics.latency("a", "s", api="Predict", entrypoint="GRPC", seconds=1.0)
    assert metrics.total("/tensorflow/serving/request_count") == 2
    for name in ("/tensorflow/serving/request_latency", "request_count", ""):
        assert metrics.total(name) == 0


def test_latencies_fall_into_tf_servings_buckets():
    metrics = Metrics()
    for seconds in (10e-6, 11e-6, 0.5, 10**9):
        metrics.latency("m", "s", api="Predict", entrypoint="REST", seconds=seconds)
    found = re.findall(r'_bucket\{.*le="(.*?)"\} (\d+)', metrics.page().decode())
    limits, counts = zip(*found, strict=True)
    assert len(limits) == 34
    assert limits[:5] == ("10", "18", "32.4", "58.32", "104.976")
    assert (limits[-2], limits[-1]) == ("1.47476e+09", "+Inf")
    assert [int(c) for c in counts] == [1, 2] + [2] * 17 + [3] * 14 + [4]
    assert "request_latency_sum{" in metrics.page().decode()


def test_counting_is_exact_with_many_threads_and_callers_cannot_fill_the_memory():
    metrics = Metrics()
    metrics.request("m", "half a pair: \ud800", Code.NOT_FOUND)
    assert b"half a pair: ?" in metrics.page()
    metrics = Metrics()

    def count():
        for _ in range(2000):
            metrics.request("m", "s", Code.OK)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(3 * MAX_SERIES):
        metrics.request(f"m{number}", "s", Code.NOT_FOUND)
    lines = metrics.page().decode().splitlines()
    assert (
        ':tensorflow:serving:request_count{model_name="m",status="OK",signature="s"} 8000' in lines
    )
    assert len(lines) == 1 + MAX_SERIES + 1
    assert any("other" in line and line.endswith(f" {2 * MAX_SERIES + 1}") for line in lines)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ("prometheus_config { enable: false }", None),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config: { enable: true, path: "/metrics" }', "/metrics"),
    ],
)
def test_the_path_is_read_from_a_monitoring_config(tmp_path, text, path):
    (tmp_path / "m").write_text(text)
    assert read_path(tmp_path / "m") == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prometheus", "Invalid protobuf file"),
        ('prometheus_config { enable: true path: "metrics" }', "'metrics' is no path"),
        ('prometheus_config { enable: true path: "/v1/x" }', "'/v1/x' is no path"),
    ],
)
def test_a_damaged_monitoring_config_is_a_sentence(tmp_path, text, message):
    (tmp_path / "m").write_text(text)
    with pytest.raises(ServingError, match=message):
        read_path(tmp_path / "m")


def records(folder):
    return {
        file.name: [
            prediction_log_pb2.PredictionLog.FromString(text)
            for text in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
        ]
        for file in sorted(folder.iterdir())
    }


def test_kept_requests_of_both_ports_serve_as_warmup(repositories, version_folder, tmp_path):
    log = RequestLog(tmp_path / "kept", rate=1, max_bytes=10**9)
    with Watched(repositories, Observer(request_log=log)) as server:
        server.predict(x=np.float32([1]))
        server.rest("POST", "/v1/models/zoo:predict", '{"instances": [1]}')
        server.rest("POST", "/v1/models/more:classify", '{"examples": [{"x": 1.0}]}')
        named = '{"examples": [{"x": 1.0, "y": 2.0}], "signature_name": "regress"}'
        server.rest("POST", "/v1/models/more:regress", named)
        server.classify(example(x=1))
        with pytest.raises(grpc.RpcError):
            server.predict(model="m")
    log.close()
    ((name, kept),) = records(tmp_path).items()
    assert re.fullmatch(r"kept-\d{8}T\d{6}-00000", name)
    kinds = [record.WhichOneof("log_type") for record in kept]
    classify, regress = "classify_log", "regress_log"
    assert kinds == ["predict_log", "predict_log", classify, regress, classify]
    over_grpc, over_rest = (record.predict_log for record in kept[:2])
    assert over_rest.request.inputs["x"].float_val == over_grpc.request.inputs["x"].float_val
    assert over_rest.response == over_grpc.response
    assert kept[0].log_metadata.model_spec.name == "zoo"
    assert kept[0].log_metadata.sampling_config.sampling_rate == 1
    assert kept[2].classify_log.request.input == kept[4].classify_log.request.input
    assert kept[3].regress_log.response.result.regressions[0].value == 21.0
    version = tmp_path / "version"
    (version / "assets.extra").mkdir(parents=True)
    predicted = version / warmup.WARMUP_FILE
    with tf.io.TFRecordWriter(str(predicted)) as writer:
        for record in kept[:2]:
            writer.write(record.SerializeToString())
    model = saved_model.load(version_folder)
    assert warmup.replay(model, version) == 2
    model.close()


def test_a_share_of_requests_is_kept_in_files_of_a_size(tmp_path):
    log = RequestLog(tmp_path / "kept", rate=0.3, max_bytes=400, seed=0)
    request, reply = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
    request.model_spec.name = "m" * 90
    wanted = sum(log.wants() and log.put("Predict", request, reply) for _ in range(400))
    log.close()
    assert 90 < wanted < 150
    sizes = [len(kept) for kept in records(tmp_path).values()]
    assert sum(sizes) == wanted
    assert set(sizes[:-1]) == {2}
    with pytest.raises(ServingError, match="the folder of the request log, .* is not there"):
        RequestLog(tmp_path / "no" / "kept", rate=1, max_bytes=1)


def test_each_request_may_have_a_line(repositories, caplog):
    caplog.set_level(logging.INFO, "serving.server.requests")
    with Watched(repositories, Observer(has_lines=True)) as server:
        server.predict(x=np.float32([1]))
        server.rest("POST", "/v1/models/m:predict", '{"instances": [1]}')
    first, second = (r for r in caplog.records if r.name == "serving.server.requests")
    value = json.loads(JsonLines().format(first))
    assert value.pop("milliseconds") > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value.pop("time"))
    assert value == {
        "level": "INFO", "logger": "serving.server.requests", "message": "request",
        "model": "zoo", "signature": "serving_default", "api": "Predict",
        "entrypoint": "GRPC", "status": "OK",
    }  # fmt: skip
    line = PlainLines().format(second)
    assert line.startswith("model=m signature=serving_default api=Predict entrypoint=REST")
    assert line.endswith("error=Servable not found for request: Latest(m)")


def test_other_lines_and_their_exceptions_are_objects_too():
    try:
        raise ValueError("x")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "", 0, "b %d", (1,), sys.exc_info())
    value = json.loads(JsonLines().format(record))
    assert (value["message"], value["level"]) == ("b 1", "ERROR")
    assert value["exception"].endswith("ValueError: x")
    assert PlainLines().format(record).startswith("b 1\nTraceback")
