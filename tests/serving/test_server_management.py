"""Reloading the configuration and choosing by label, over the wire with the official stubs."""

import shutil
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.server import completeness, saved_model
from serving.server.attempts import Policy
from serving.server.engine import Engine
from serving.server.metrics import Metrics
from serving.server.model_config import ModelConfig
from serving.server.models import Models
from serving.server.observation import Observer
from serving.server.services import make_server

TIMEOUT = 30.0
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NO_LIST = (
    "ServerModelConfig type not supported by HandleReloadConfigRequest. "
    "Only ModelConfigList is currently supported"
)


@pytest.fixture
def base(tmp_path, version_folder):
    (tmp_path / "zoo").mkdir()
    shutil.copytree(version_folder, tmp_path / "zoo" / "1")
    return tmp_path


@pytest.fixture
def channel(base):
    models = Models(
        lambda name, path: saved_model.load(path),
        policy=Policy(poll_seconds=0.02, retries=0, retry_seconds=0),
        lacks=completeness.lacks,
    )
    models.start([ModelConfig(name="zoo", base_path=base / "zoo")])
    assert models["zoo"].settled.wait(TIMEOUT)
    server = make_server(Engine(models), threads=4, observer=Observer(metrics=Metrics()))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    server.stop(None).wait()
    models.close()


def reload_request(*entries):
    """Each entry: name, folder, version policy (text), labels."""
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    for name, path, versions, labels in entries:
        config = request.config.model_config_list.config.add(name=name, base_path=str(path))
        config.model_platform = "tensorflow"
        if versions == "all":
            config.model_version_policy.all.SetInParent()
        elif versions:
            config.model_version_policy.specific.versions.extend(versions)
        for label, version in labels.items():
            config.version_labels[label] = version
    return request


def predict(channel, model, label=None, x=2.0):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    if label is not None:
        request.model_spec.version_label = label
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([x])))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    reply = stub.Predict(request, timeout=TIMEOUT)
    return reply.model_spec.version.value, list(reply.outputs["y"].float_val)


def reload(channel, request):
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    return stub.HandleReloadConfigRequest(request, timeout=TIMEOUT)


def states(channel, model):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    reply = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(
        request, timeout=TIMEOUT
    )
    return [(entry.version, entry.state) for entry in reply.model_version_status]


def states_or_none(channel, model):
    try:
        return states(channel, model)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND
        return []


def has_label(channel, model, label):
    """Whether a version can be had by this label; the question is not among those counted."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name, request.model_spec.version_label = model, label
    try:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        stub.GetModelMetadata(request, timeout=TIMEOUT)
    except grpc.RpcError as error:
        assert error.code() == INVALID
        return False
    return True


def refusal(call, *arguments):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments)
    return caught.value.code(), caught.value.details()


def test_models_versions_and_labels_come_and_go(
    channel, base, other_version_folder, examples_folder
):
    shutil.copytree(other_version_folder, base / "zoo" / "2")
    (base / "examples").mkdir()
    shutil.copytree(examples_folder, base / "examples" / "5")
    reply = reload(
        channel,
        reload_request(
            ("zoo", base / "zoo", "all", {"stable": 1, "canary": 2}),
            ("examples", base / "examples", "", {}),
        ),
    )
    assert reply.HasField("status")
    assert (reply.status.error_code, reply.status.error_message) == (0, "")
    assert states(channel, "examples") == [(5, 30)]
    assert states(channel, "zoo") == [(2, 30), (1, 30)]
    assert predict(channel, "zoo", "stable") == (1, [3.0])
    assert predict(channel, "zoo", "canary") == (2, [4.0])
    assert predict(channel, "zoo") == (2, [4.0])
    assert refusal(predict, channel, "zoo", "x") == (
        INVALID,
        "Unrecognized servable version label: x",
    )
    # full replacement: what is not in the list goes
    reload(channel, reload_request(("zoo", base / "zoo", [1], {"stable": 1})))
    assert refusal(states, channel, "examples") == (
        grpc.StatusCode.NOT_FOUND,
        "Could not find any versions of model examples",
    )
    assert refusal(predict, channel, "zoo", "canary")[0] == INVALID
    assert predict(channel, "zoo") == (1, [3.0])


def test_a_reload_tells_by_how_much_counters_have_grown(
    channel, base, other_version_folder, eventually
):
    """Requests that are answered while it waits for a model are counted in."""
    count, nothing = "/tensorflow/serving/request_count", "/tensorflow/nothing"
    zoo = ("zoo", base / "zoo", "", {"stable": 1})
    request = reload_request(zoo, ("late", base / "late", "", {}))
    request.metric_names.extend([count, nothing, count])
    predict(channel, "zoo")
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    waiting = stub.HandleReloadConfigRequest.future(request, timeout=TIMEOUT)
    eventually(lambda: has_label(channel, "zoo", "stable"))  # it has come, and waits
    assert predict(channel, "zoo") == (1, [3.0])
    shutil.copytree(other_version_folder, base / "late" / "1")
    increases = {metric.name: metric.int64_value_increase for metric in waiting.result().metric}
    assert increases == {count: 1, nothing: 0}


def test_no_request_is_refused_while_versions_come_and_go(
    channel, base, other_version_folder, version_folder
):
    """Version 2 comes, 1 goes, 3 comes, 2 goes: whoever asks all the time is always answered."""
    staged = base / "staged"
    answers, errors, done = [], [], threading.Event()

    def ask():
        while not done.is_set():
            try:
                answers.append(predict(channel, "zoo"))
            except grpc.RpcError as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for version, source in ((2, other_version_folder), (3, version_folder)):
        shutil.copytree(source, staged)
        staged.rename(base / "zoo" / str(version))
        while predict(channel, "zoo")[0] != version:
            assert not errors
    done.set()
    for thread in threads:
        thread.join(TIMEOUT)
    assert errors == []
    offsets = {1: [3.0], 2: [4.0], 3: [3.0]}
    assert all(y == offsets[version] for version, y in answers)
    assert {version for version, _ in answers} >= {2}  # it was served while they asked


def test_refused_configurations_change_nothing(channel, base):
    zoo = ("zoo", base / "zoo", "", {})
    empty = model_management_pb2.ReloadConfigRequest()
    custom = model_management_pb2.ReloadConfigRequest()
    custom.config.custom_model_config.SetInParent()
    other = reload_request(zoo)
    other.config.model_config_list.config[0].model_platform = "other"
    cases = [
        (empty, INVALID, NO_LIST),
        (custom, INVALID, NO_LIST),
        (
            reload_request(("a", "models/a", "", {})),
            INVALID,
            "Expected model a to have an absolute path or URI; got base_path()=models/a",
        ),
        (
            reload_request(zoo, zoo),
            INVALID,
            "Illegal to list model zoo multiple times in config list",
        ),
        (
            other,
            INVALID,
            "Illegal to change a model's platform. For model zoo platform was tensorflow "
            "and new platform requested is other",
        ),
        (
            reload_request(("zoo", base / "zoo", "", {"canary": 9})),
            grpc.StatusCode.FAILED_PRECONDITION,
            "Request to assign label to version 9 of model zoo, "
            "which is not currently available for inference",
        ),
    ]
    for request, code, text in cases:
        assert refusal(reload, channel, request) == (code, text)
        assert predict(channel, "zoo") == (1, [3.0])


def test_a_caller_who_gives_up_ends_its_wait_alone(channel, base, eventually):
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = reload_request(("zoo", base / "zoo", "", {}), ("late", base / "late", "", {}))
    with pytest.raises(grpc.RpcError) as caught:
        stub.HandleReloadConfigRequest(request, timeout=0.3)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert predict(channel, "zoo") == (1, [3.0])
    (base / "late").mkdir()
    shutil.copytree(base / "zoo" / "1", base / "late" / "4")
    eventually(lambda: (4, 30) in states_or_none(channel, "late"))
    assert predict(channel, "late") == (4, [3.0])
    reload(channel, request)  # nothing in it is new, so nothing is waited for
