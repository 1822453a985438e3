"""Whole server processes: start, reload, stop, and what is said on the way."""

import json
import os
import shutil
import signal
import socket
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.client import Client, InvalidArgument, Unavailable
from serving.server import addresses, loading
from serving.server.command import _open_web, main
from serving.server.flags import parse
from serving.server.versions import fingerprint

FAST = ("--load_retry_interval_micros=100000", "--max_num_load_retries=0")


def count(channel, number):
    """A call that takes as long as it takes to count so far."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "zoo"
    request.model_spec.signature_name = "count"
    request.inputs["n"].CopyFrom(tf.make_tensor_proto(number))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return stub.Predict.future(request, timeout=60)


def test_a_server_from_an_empty_place_to_the_last_request(
    start_server, tmp_path, version_folder, other_version_folder, free_port
):
    base, staging = tmp_path / "models", tmp_path / "staging"
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    socket_path = tmp_path / "s"
    server = start_server(
        "--model_name=zoo", "--model-base-path", str(base), f"--grpc_socket_path={socket_path}",
        "--port=0", "--unheard_of=1", f"--rest_api_port={free_port}", *FAST,
        f"--monitoring_config_file={monitoring}", f"--request_log_prefix={tmp_path}/kept",
        "--request_log_sampling_rate=1", "--log_each_request",
    )  # fmt: skip
    server.wait_for("unknown argument ignored: --unheard_of=1")
    server.wait_for("waiting for versions, .* does not exist")
    shutil.copytree(version_folder, staging / "1")
    staging.rename(base)
    server.wait_for(rf"^serving zoo version 1 at unix:{socket_path} \(gRPC\)$")
    target = f"unix:{socket_path}"
    with Client(target) as client:
        assert client.predict("zoo", {"x": 2})["y"].tolist() == [[3.0]]
        server.wait_for(rf"^answering REST at http://127.0.0.1:{free_port}$")
        rest = f"http://127.0.0.1:{free_port}/v1/models/zoo:predict"
        with urllib.request.urlopen(rest, b'{"inputs": {"x": 2}}') as reply:
            assert json.load(reply) == {"outputs": {"double": 4.0, "y": 3.0}}
        server.wait_for(r"model=zoo .* api=Predict entrypoint=REST status=OK milliseconds=\d")
        page = f"http://127.0.0.1:{free_port}/monitoring/prometheus/metrics"
        with urllib.request.urlopen(page) as reply:
            assert 'request_count{model_name="zoo",status="OK"' in reply.read().decode()

        # half-copied: the graph is there, the variables are not; the old version goes on
        shutil.copytree(
            other_version_folder, base / "2", ignore=shutil.ignore_patterns("variables")
        )
        server.wait_for("version 2 failed to load")
        states = {s.version: (s.state, s.error_code) for s in client.status("zoo")}
        assert states[1] == ("AVAILABLE", 0)
        assert states[2][0] == "END" and states[2][1] != 0
        assert client.predict("zoo", {"x": 2})["y"].tolist() == [[3.0]]

        shutil.copytree(other_version_folder / "variables", base / "2" / "variables")
        server.wait_for("zoo: version 1 is unloaded")
        assert client.predict("zoo", {"x": 2})["y"].tolist() == [[4.0]]
        assert [(s.version, s.state) for s in client.status("zoo")] == [
            (2, "AVAILABLE"),
            (1, "END"),
        ]

        # a request that is running when the signal comes is answered
        with grpc.insecure_channel(target) as channel:
            slow = count(channel, 300_000)
            with Client(channel=channel) as second:
                second.status("zoo")  # same connection: the slow request has arrived by now
            assert server.stop(signal.SIGTERM) == 0
            assert list(slow.result().outputs["n"].int_val) == [300_000]
    assert server.lines[-2:] == ["stopped", "<end>"]
    (kept,) = tmp_path.glob("kept-*")
    assert sum(1 for _ in tf.data.TFRecordDataset(str(kept))) == 5
    with pytest.raises(Unavailable, match="no server answers at"), Client(target) as client:
        client.status("zoo", timeout_seconds=10)


CONFIG = """
config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" {more} }}
"""


def write_config(file, *entries):
    """The text proto for (name, path, more text); written whole, as an editor would."""
    lines = "".join(CONFIG.format(name=n, path=p, more=more) for n, p, more in entries)
    staged = file.with_suffix(".new")
    staged.write_text(f"model_config_list {{ {lines} }}")
    staged.rename(file)


def test_several_models_from_a_file_that_changes(
    start_server, tmp_path, version_folder, other_version_folder, examples_folder, pem,
    write_ssl_config,
):  # fmt: skip
    file, bad = tmp_path / "models.config", tmp_path / "bad"
    for base, number, source in [
        ("zoo", 1, version_folder), ("zoo", 2, other_version_folder), ("more", 5, examples_folder),
    ]:  # fmt: skip
        shutil.copytree(source, tmp_path / base / str(number))
    (bad / "1").mkdir(parents=True)
    (bad / "1" / "saved_model.pb").write_bytes(b"\xff\xfe not a graph")
    every = "model_version_policy { all {} } version_labels { key: 'old' value: 1 }"
    write_config(
        file, ("zoo", tmp_path / "zoo", every), ("bad", bad, ""), ("no", tmp_path / "no", "")
    )
    key, certificate = pem["server"]
    ssl = write_ssl_config(tmp_path / "ssl", server_key=key, server_cert=certificate)
    session = tmp_path / "session"
    session.write_text("inter_op_parallelism_threads: 2")
    server = start_server(
        f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=1",
        f"--ssl_config_file={ssl}", f"--tensorflow_session_config_file={session}",
        "--tensorflow_intra_op_parallelism=1", "--enable_serialization_as_tensor_content",
        "--enable_grpc_healthcheck_service", "--grpc_max_threads=2", "--num_load_threads=1", *FAST,
    )  # fmt: skip
    # one damaged model and one missing folder hold up nobody
    line = r"^serving zoo version 2 and 1, bad version none yet, no version none yet at ([^ ]+)"
    credentials = grpc.ssl_channel_credentials(pem["ca"])
    with grpc.secure_channel(server.wait_for(line)[1], credentials) as channel:
        client = Client(channel=channel)
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="PredictionService")
        assert health.Check(request, timeout=30).status == health_pb2.HealthCheckResponse.SERVING
        assert client.predict("zoo", {"x": 2}, label="old")["y"].tolist() == [[3.0]]
        write_config(file, ("zoo", tmp_path / "zoo", ""), ("more", tmp_path / "more", ""))
        server.wait_for(f"serving what {file} says")
        assert [s.version for s in client.status("more")] == [5]
        with pytest.raises(InvalidArgument, match="label: old"):
            client.predict("zoo", {"x": 2}, label="old")
        file.write_text("model_config_list { nonsense")
        server.wait_for("Invalid protobuf file")
        assert client.predict("zoo", {"x": 2})["y"].tolist() == [[4.0]]
    assert server.stop(signal.SIGTERM) == 0


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def signals():
    """Puts back what the command does to this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_callers_share_runs_where_the_server_is_told_so(start_server, tmp_path, version_folder):
    base, common = tmp_path / "models", tmp_path / "batching.txt"
    shutil.copytree(version_folder, base / "1")
    common.write_text("max_batch_size { value: 3 } batch_timeout_micros { value: 1000000000 }")
    (base / "1" / "batching_params.pbtxt").write_text("max_batch_size { value: 4 }")
    socket_path = tmp_path / "s"
    flags = (f"--model_base_path={base}", f"--grpc_socket_path={socket_path}", "--port=0")
    batching = ("--model_name=zoo", "--enable_batching", f"--batching_parameters_file={common}")
    server = start_server(*flags, *batching)
    server.wait_for("^serving zoo version 1")
    with Client(f"unix:{socket_path}") as client, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(client.predict, "zoo", {"x": i}) for i in range(6)]  # two full batches
        assert [a.result()["y"].tolist() for a in asked] == [[[2 + i / 2]] for i in range(6)]
        with pytest.raises(InvalidArgument, match="Task size 4 is larger than .* batch size 3"):
            client.predict("zoo", {"x": [[1.0]] * 4})
    # killed in mid-request: the caller is told that nobody answers, and the disk is as it was
    before = fingerprint(tmp_path)
    with grpc.insecure_channel(f"unix:{socket_path}") as channel:
        endless = count(channel, 2**31 - 1)
        with Client(channel=channel) as client:
            client.status("zoo")  # same connection: the endless request has arrived by now
        server.stop(signal.SIGKILL)
        assert endless.code() == grpc.StatusCode.UNAVAILABLE
    assert fingerprint(tmp_path) == before
    server = start_server(*flags, *batching, "--enable_per_model_batching_parameters")
    server.wait_for("^serving zoo version 1")
    with Client(f"unix:{socket_path}") as client:
        assert client.predict("zoo", {"x": [[1.0]] * 4})["y"].tolist() == [[2.5]] * 4


def test_a_model_that_cannot_be_loaded_ends_the_server_with_a_sentence(tmp_path, signals, capsys):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff\xfe not a graph")
    assert main(["--model_name=zoo", "--host=127.0.0.1", "--port=0",
                 f"--model_base_path={tmp_path}", *FAST]) == 255  # fmt: skip
    text = capsys.readouterr().out
    assert text.startswith("Failed to start server. Error: UNKNOWN: 1 servable(s) did not become ")
    assert "{{name: zoo version: 1} due to error: DATA_LOSS: cannot read" in text


def test_looking_once_at_an_empty_folder_ends_the_server_with_a_sentence(tmp_path, signals, capsys):
    flags = ["--port=0", f"--model_base_path={tmp_path}", "--file_system_poll_wait_seconds=0"]
    assert main(flags) == 255
    assert f"NOT_FOUND: no version to serve in {tmp_path}" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_waiting_for_a_model_ends_cleanly(
    number, tmp_path, signals, caplog, eventually
):
    def interrupt():
        eventually(lambda: "waiting for versions" in caplog.text)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert main(["--port=0", f"--model_base_path={tmp_path / 'nowhere'}"]) == 0
    thread.join()


@pytest.mark.parametrize(
    ("flag", "text", "sentence"),
    [
        ("model_config_file", None, "NOT_FOUND: {file}; No such file or directory"),
        ("model_config_file", "nonsense", "INVALID_ARGUMENT: Invalid protobuf file: '{file}': "),
        ("ssl_config_file", 'server_key: "x"', "INVALID_ARGUMENT: {file}: server_key must be PEM"),
        ("tensorflow_session_config_file", "x: 1", "INVALID_ARGUMENT: Invalid protobuf file: "),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_server_with_a_sentence(
    flag, text, sentence, tmp_path, signals, capsys
):
    file = tmp_path / "file"
    if text is not None:
        file.write_text(text)
    flags = ["--host=127.0.0.1", "--port=0", f"--model_base_path={tmp_path}"]
    assert main([*flags, f"--{flag}={file}"]) == 255
    said = capsys.readouterr().out
    assert said.startswith(f"Failed to start server. Error: {sentence.format(file=file)}")


@pytest.mark.parametrize(
    ("flags", "intra", "inter"),
    [
        ([], 3, 0),
        (["--tensorflow_session_parallelism=2"], 2, 2),
        (["--tensorflow_session_parallelism=2", "--tensorflow_intra_op_parallelism=1"], 1, 2),
        (["--tensorflow_inter_op_parallelism=5"], 3, 5),
    ],
)
def test_flags_override_the_sessions_file(flags, intra, inter, tmp_path):
    file = tmp_path / "session"
    file.write_text("intra_op_parallelism_threads: 3 use_per_session_threads: true")
    flags = [*flags, "--model_base_path=m", f"--tensorflow_session_config_file={file}"]
    session = loading.session_config(parse(flags)[0])
    assert session.intra_op_parallelism_threads == intra
    assert session.inter_op_parallelism_threads == inter
    assert session.use_per_session_threads


def test_a_taken_port_is_found_out_before_anything_is_loaded(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = ["--host=127.0.0.1", f"--port={port}", f"--model_base_path={tmp_path}"]
        assert main(flags) == 255
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in capsys.readouterr().out


def test_a_taken_rest_port_is_found_out_as_well(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = ["--host=127.0.0.1", "--port=0", f"--rest_api_port={port}"]
        assert main([*flags, f"--model_base_path={tmp_path}"]) == 255
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in capsys.readouterr().out


def test_a_socket_that_cannot_be_had_is_a_sentence(tmp_path, capsys):
    taken, notes, long = tmp_path / "taken", tmp_path / "notes", tmp_path / ("s" * 107)
    notes.write_text("mine")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(taken))
        listener.listen()
        for path, why in [
            (taken, "Address already in use"),
            (notes, "there is a file of that name"),
            (long, "the path of a unix socket has at most 107 bytes"),
            (tmp_path / "no" / "s", "its folder is not there"),
        ]:
            flags = ["--port=0", f"--grpc_socket_path={path}", f"--model_base_path={tmp_path}"]
            assert main(flags) == 255
            assert f"UNAVAILABLE: cannot listen on unix:{path}: {why}\n" in capsys.readouterr().out
    assert notes.read_text() == "mine"


def test_a_socket_that_was_left_behind_is_no_obstacle(tmp_path):
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(tmp_path / "s"))
    addresses.check_socket(str(tmp_path / "s"))
    addresses.check_socket(str(tmp_path / "new"))


def test_a_log_without_a_folder_ends_the_server_with_a_sentence(tmp_path, signals, capsys):
    flags = ["--port=0", f"--request_log_prefix={tmp_path}/no/kept"]
    assert main([*flags, f"--model_base_path={tmp_path}"]) == 255
    out = capsys.readouterr().out
    assert f"the folder of the request log, {tmp_path}/no, is not there" in out


def test_an_unknown_host_is_a_sentence(tmp_path, capsys):
    assert main(["--host=256.0.0.1", f"--model_base_path={tmp_path}"]) == 255
    assert "cannot listen on 256.0.0.1:8500" in capsys.readouterr().out


def test_equal_ports_leave_rest_off_with_a_word(tmp_path, caplog):
    caplog.set_level("INFO")
    config, _ = parse([f"--model_base_path={tmp_path}", "--port=8500", "--rest_api_port=8500"])
    assert _open_web(None, config, None) is None
    assert "REST is off: --rest_api_port and --port are both 8500" in caplog.text
