"""How the server is reached: TLS, client certificates, sockets, health and reflection."""

import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.server import methods, saved_model, transport
from serving.server.engine import Engine
from serving.server.errors import Code, ServingError
from serving.server.repository import Policy, Repository
from serving.server.services import make_server

TIMEOUT = 30.0


@pytest.fixture(scope="module")
def engine(version_folder, tmp_path_factory):
    base = tmp_path_factory.mktemp("zoo")
    (base / "7").symlink_to(version_folder)
    repository = Repository("zoo", base, saved_model.load, policy=Policy())
    repository.refresh()
    yield Engine({"zoo": repository})
    repository.close()


@pytest.fixture
def serve(engine):
    """Starts a server; its addresses."""
    servers = []

    def serve(*, options=None, **where):
        server = make_server(engine, threads=2, **(options or {}))
        addresses = transport.listen(server, host="127.0.0.1", port=0, **where)
        server.start()
        servers.append(server)
        return addresses

    yield serve
    for server in servers:
        server.stop(None).wait()


def ask(channel):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "zoo"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([2])))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return stub.Predict(request, timeout=TIMEOUT).outputs["y"]


def test_tls_from_a_file(serve, pem, write_ssl_config, tmp_path):
    key, certificate = pem["server"]
    file = write_ssl_config(tmp_path / "ssl", server_key=key, server_cert=certificate)
    (address,) = serve(credentials=transport.read_credentials(file))
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(pem["ca"])) as channel:
        assert list(ask(channel).float_val) == [3.0]
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        ask(channel)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_client_certificates_are_verified(serve, pem, write_ssl_config, tmp_path):
    key, certificate = pem["server"]
    file = write_ssl_config(
        tmp_path / "ssl", server_key=key, server_cert=certificate, custom_ca=pem["ca"],
        client_verify=True,
    )  # fmt: skip
    credentials = transport.read_credentials(file)
    address = serve(credentials=credentials)[0]
    trusted = grpc.ssl_channel_credentials(pem["ca"], *pem["client"])
    with grpc.secure_channel(address, trusted) as channel:
        assert list(ask(channel).float_val) == [3.0]
    unknown = grpc.ssl_channel_credentials(pem["ca"])
    with grpc.secure_channel(address, unknown) as channel, pytest.raises(grpc.RpcError) as caught:
        ask(channel)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_port_and_socket_are_served_together(engine, tmp_path, pem, write_ssl_config):
    key, certificate = pem["server"]
    file = write_ssl_config(tmp_path / "ssl", server_key=key, server_cert=certificate)
    server = make_server(engine, threads=2)
    with_tls = transport.read_credentials(file)
    first = transport.listen(server, host="127.0.0.1", port=0, credentials=with_tls)
    second = transport.listen(server, host="127.0.0.1", port=0, socket_path=str(tmp_path / "s"))
    assert second == [f"unix:{tmp_path / 's'}"]
    server.start()
    secure = grpc.secure_channel(first[0], grpc.ssl_channel_credentials(pem["ca"]))
    with secure, grpc.insecure_channel(second[0]) as local:
        assert list(ask(secure).float_val) == list(ask(local).float_val) == [3.0]
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"server_key": b"x"}, "server_key must be PEM text"),
        ({"server_key": "KEY"}, "server_cert must be PEM text"),
        ({"server_key": "KEY", "server_cert": "CERT", "client_verify": True}, "needs custom_ca"),
        ({"server_kay": b"x"}, "server_kay"),
    ],
)
def test_ssl_files_that_cannot_be_used(fields, sentence, pem, write_ssl_config, tmp_path):
    real = {"KEY": pem["server"][0], "CERT": pem["server"][1]}
    fields = {name: real.get(value, value) for name, value in fields.items()}
    with pytest.raises(ServingError, match=sentence) as caught:
        transport.read_credentials(write_ssl_config(tmp_path / "ssl", **fields))
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_a_key_that_is_none_is_a_sentence_when_the_port_opens(
    engine, pem, write_ssl_config, tmp_path
):
    begin, end = b"-----BEGIN PRIVATE KEY-----\n", b"\n-----END PRIVATE KEY-----\n"
    file = write_ssl_config(
        tmp_path / "ssl", server_key=begin + b"bm9uZQ==" + end, server_cert=pem["server"][1]
    )
    server = make_server(engine, threads=1)
    with pytest.raises(ServingError) as caught:
        transport.listen(
            server, host="127.0.0.1", port=0, credentials=transport.read_credentials(file)
        )
    assert caught.value.code == Code.UNAVAILABLE
    server.stop(None).wait()


def test_health_is_served_where_it_is_wanted(serve):
    for wanted in (True, False):
        (address,) = serve(options={"has_health": wanted})
        with grpc.insecure_channel(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for name in ("", "ModelService", "PredictionService"):
                request = health_pb2.HealthCheckRequest(service=name)
                if wanted:
                    reply = stub.Check(request, timeout=TIMEOUT)
                    assert reply.status == health_pb2.HealthCheckResponse.SERVING
                    continue
                with pytest.raises(grpc.RpcError) as caught:
                    stub.Check(request, timeout=TIMEOUT)
                assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_reflection_lists_the_services_and_describes_them(serve):
    (address,) = serve()
    with grpc.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(
                file_containing_symbol="tensorflow.serving.PredictionService"
            ),
        ]
        listed, file = stub.ServerReflectionInfo(iter(requests), timeout=TIMEOUT)
    names = [service.name for service in listed.list_services_response.service]
    assert "tensorflow.serving.PredictionService" in names
    assert "tensorflow.serving.ModelService" in names
    assert file.file_descriptor_response.file_descriptor_proto


def test_answers_may_be_raw_content(serve):
    (address,) = serve(options={"as_content": True})
    with grpc.insecure_channel(address) as channel:
        answer = ask(channel)
    assert answer.tensor_content == np.float32([3]).tobytes()
    assert list(answer.float_val) == []


def test_channel_arguments_reach_grpc(serve):
    limit = ("grpc.max_receive_message_length", 8)
    (address,) = serve(options={"channel_arguments": [limit]})
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        ask(channel)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_calls_without_a_message_stop_no_others_and_end(serve, monkeypatch):
    (address,) = serve()
    never = threading.Event()

    def nothing():
        never.wait(TIMEOUT)
        yield from ()

    with grpc.insecure_channel(address) as channel:
        method = "/tensorflow.serving.PredictionService/Predict"
        begin = channel.stream_unary(method, bytes, bytes)
        calls = [begin.future(nothing(), timeout=TIMEOUT) for _ in range(20)]
        assert list(ask(channel).float_val) == [3.0]  # two threads answer
        monkeypatch.setattr(methods, "MESSAGE_SECONDS", 0.0)
        assert {call.code() for call in calls} == {grpc.StatusCode.CANCELLED}
        monkeypatch.undo()
        never.set()
        ended = begin.future(iter(()), timeout=TIMEOUT)
        assert ended.code() == grpc.StatusCode.UNIMPLEMENTED
        assert ended.details() == "The call has no tensorflow.serving.PredictRequest."
        assert list(ask(channel).float_val) == [3.0]
