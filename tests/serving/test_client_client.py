"""The client against a real server, and against an in-process one that misbehaves on purpose."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import ml_dtypes
import numpy as np
import pytest

from serving.client import (
    CallError,
    Client,
    DeadlineExceeded,
    InvalidAnswer,
    InvalidArgument,
    InvalidInput,
    NotFound,
    ServingError,
    Unavailable,
    wire,
)


@pytest.fixture(scope="module")
def client(target):
    with Client(target, timeout_seconds=30) as opened:
        yield opened


def test_numbers_in_numbers_out(client):
    outputs = client.predict("zoo", {"x": [[1], [4]]})
    assert outputs["y"].dtype == np.float32
    assert outputs["y"].tolist() == [[2.5], [4.0]]
    assert client.predict("zoo", {"x": 5})["y"].tolist() == [[4.5]]


def test_text_is_str_and_names_ending_in_bytes_are_bytes(client):
    outputs = client.predict(
        "zoo", {"text": ["é", b"b"]}, signature="upper", outputs=["text", "raw_bytes"]
    )
    assert outputs["text"].tolist() == ["é", "B"]
    assert outputs["raw_bytes"].tolist() == ["é".encode(), b"b"]


def test_bytes_that_are_no_text_are_refused_unless_asked_for(client):
    with pytest.raises(InvalidAnswer, match=r"output 'image' .* text=False"):
        client.predict("zoo", {"text": "a"}, signature="upper")
    outputs = client.predict("zoo", {"text": "a"}, signature="upper", text=False)
    assert outputs["image"].tolist() == [b"a\xff"]
    assert outputs["text"].tolist() == [b"A"]


def test_small_dtypes_pass(client):
    outputs = client.predict("zoo", {"b": [1.5, -2], "u": [0, 255]}, signature="echo")
    assert outputs["b"].dtype == ml_dtypes.bfloat16
    assert outputs["b"].tolist() == [1.5, -2.0]
    assert outputs["u"].tolist() == [0, 255]


def test_defaults_are_filled_by_the_server(client):
    outputs = client.predict("zoo", {"count": 4}, signature="defaulted")
    assert (outputs["product"].tolist(), outputs["name"].tolist()) == ([6.0], ["anon"])


def test_mistakes_are_found_before_anything_is_sent(client):
    with pytest.raises(InvalidInput, match=r"no signature 'uper' \(did you mean 'upper'\?\)"):
        client.predict("zoo", {"x": 1}, signature="uper")
    with pytest.raises(InvalidInput, match=r"no input is called 'y'"):
        client.predict("zoo", {"y": 1})
    with pytest.raises(InvalidInput, match=r"no output is called 'z'"):
        client.predict("zoo", {"x": 1}, outputs=["z"])
    with pytest.raises(InvalidInput, match="not both"):
        client.predict("zoo", {"x": 1}, version=1, label="stable")
    with pytest.raises(InvalidInput, match="timeout_seconds"):
        client.predict("zoo", {"x": 1}, timeout_seconds=0)


def test_the_servers_refusals_have_their_own_classes(client):
    with pytest.raises(NotFound, match=r"Servable not found for request: Latest\(m\)") as caught:
        client.predict("m", {"x": 1})
    assert caught.value.code == grpc.StatusCode.NOT_FOUND
    with pytest.raises(NotFound, match=r"Specific\(zoo, 8\)"):
        client.predict("zoo", {"x": 1}, version=8)
    with pytest.raises(InvalidArgument, match="label: stable"):
        client.predict("zoo", {"x": 1}, label="stable")
    with pytest.raises(InvalidArgument, match="assertion failed"):
        client.predict("zoo", {"x": -1}, signature="check")
    with pytest.raises(DeadlineExceeded, match=r"no answer from .* within 0.2 s"):
        client.predict("zoo", {"n": 2**31 - 1}, signature="count", timeout_seconds=0.2)


def test_metadata_tells_dtypes_shapes_and_defaults(client):
    metadata = client.metadata("zoo")
    assert (metadata.name, metadata.version) == ("zoo", 7)
    assert not any(name.startswith("__") for name in metadata.signatures)
    inputs = metadata.signatures["defaulted"].inputs
    assert str(inputs["scale"]) == "float32 [?]"
    assert inputs["scale"].default.tolist() == [1.5]
    assert inputs["count"].default is None
    assert metadata.signatures["echo"].inputs["b"].shape is None


def test_status_and_wait_until_ready(client):
    (status,) = client.status("zoo")
    assert (status.version, status.state, status.error_code) == (7, "AVAILABLE", 0)
    assert client.wait_until_ready("zoo") == 7
    with pytest.raises(DeadlineExceeded, match="Could not find any versions of model m"):
        client.wait_until_ready("m", timeout_seconds=0.2)


def test_nothing_listening_is_unavailable():
    with Client("127.0.0.1:1", timeout_seconds=10) as nobody:
        with pytest.raises(Unavailable, match=r"no server answers at 127.0.0.1:1 \(.*refused\)"):
            nobody.status("m")
        with pytest.raises(DeadlineExceeded, match="no server answers"):
            nobody.wait_until_ready("m", timeout_seconds=4)


class Fake(grpc.GenericRpcHandler):
    """Answers from a table path -> function of request bytes; counts calls."""

    def __init__(self):
        self.answers, self.calls = {}, []

    def service(self, details):
        def call(request, context):
            self.calls.append((details.method, context.time_remaining()))
            return self.answers[details.method](request, context)

        return grpc.unary_unary_rpc_method_handler(call)


@pytest.fixture
def fake():
    handler = Fake()
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"127.0.0.1:{port}", timeout_seconds=20) as client:
        handler.client = client
        yield handler
    server.stop(None).wait()


def abort(code, times, then=b""):
    left = [times]

    def answer(request, context):
        left[0] -= 1
        if left[0] >= 0:
            context.abort(code, "on purpose")
        return then

    return answer


def metadata_reply(version, **inputs):
    table = wire.SignatureDefMap()
    for name, dtype in inputs.items():
        table.signature_def["serving_default"].inputs[name].dtype = dtype
    reply = wire.MetadataResponse()
    reply.model_spec.version.value = version
    reply.metadata["signature_def"].value = table.SerializeToString()
    return lambda request, context: reply.SerializeToString()


def predict_reply(version):
    reply = wire.PredictResponse()
    reply.model_spec.version.value = version
    return lambda request, context: reply.SerializeToString()


def test_every_call_carries_a_deadline(fake):
    fake.answers[wire.STATUS] = abort(None, 0)
    fake.client.status("m")
    fake.client.status("m", timeout_seconds=5)
    (_, first), (_, second) = fake.calls
    assert 5 < first < 21
    assert 0 < second < 6


def test_unavailable_is_retried_and_other_codes_are_not(fake):
    fake.answers[wire.STATUS] = abort(grpc.StatusCode.UNAVAILABLE, 2)
    assert fake.client.status("m") == []
    assert len(fake.calls) == 3
    fake.answers[wire.STATUS] = abort(grpc.StatusCode.INTERNAL, 1)
    with pytest.raises(CallError, match="on purpose"):
        fake.client.status("m")
    assert len(fake.calls) == 4


def test_retries_end(fake):
    fake.answers[wire.STATUS] = abort(grpc.StatusCode.UNAVAILABLE, 100)
    with pytest.raises(Unavailable, match="on purpose"):
        fake.client.status("m")
    assert len(fake.calls) == 4


def test_codes_without_a_class_are_call_errors(fake):
    fake.answers[wire.STATUS] = abort(grpc.StatusCode.DATA_LOSS, 1)
    with pytest.raises(CallError) as caught:
        fake.client.status("m")
    assert type(caught.value) is CallError
    assert caught.value.code == grpc.StatusCode.DATA_LOSS


def test_metadata_is_asked_once_and_again_when_the_version_changes(fake):
    fake.answers[wire.METADATA] = metadata_reply(1, x=1)
    fake.answers[wire.PREDICT] = predict_reply(1)
    for _ in range(3):
        fake.client.predict("m", {"x": [1]})
    methods = [method for method, _ in fake.calls]
    assert methods == [wire.METADATA, wire.PREDICT, wire.PREDICT, wire.PREDICT]
    fake.answers[wire.PREDICT] = predict_reply(2)
    fake.client.predict("m", {"x": [1]})
    fake.client.predict("m", {"x": [1]})
    assert [method for method, _ in fake.calls[4:]] == [wire.PREDICT, wire.METADATA, wire.PREDICT]


def test_inputs_of_a_newer_version_are_accepted(fake):
    fake.answers[wire.METADATA] = metadata_reply(1, x=1)
    fake.answers[wire.PREDICT] = predict_reply(1)
    fake.client.predict("m", {"x": [1]})
    fake.answers[wire.METADATA] = metadata_reply(2, z=1)
    fake.client.predict("m", {"z": [1]})


def test_damaged_replies_are_invalid_answers(fake):
    reply = wire.MetadataResponse()
    reply.metadata["signature_def"].value = b"\xff\xff"
    fake.answers[wire.METADATA] = lambda request, context: reply.SerializeToString()
    with pytest.raises(InvalidAnswer, match="damaged metadata"):
        fake.client.metadata("m")
    fake.answers[wire.METADATA] = metadata_reply(1, x=1)
    answer = wire.PredictResponse()
    answer.outputs["y"].dtype = 99
    fake.answers[wire.PREDICT] = lambda request, context: answer.SerializeToString()
    with pytest.raises(InvalidAnswer, match="output 'y' is damaged"):
        fake.client.predict("m", {"x": [1]})


def test_an_injected_channel_is_used_and_left_open(target):
    with grpc.insecure_channel(target) as channel:
        with Client(channel=channel) as client:
            assert client.status("zoo")
        with Client(channel=channel) as client:
            assert client.status("zoo")


def test_there_is_one_exception_tree():
    assert issubclass(InvalidInput, ServingError) and issubclass(InvalidInput, ValueError)
    assert issubclass(NotFound, CallError) and issubclass(CallError, ServingError)
    assert issubclass(InvalidAnswer, ServingError)
