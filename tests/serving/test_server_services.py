"""The server seen by a TF Serving client: the official stubs, exact codes and texts."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

TIMEOUT = 30.0


@pytest.fixture(scope="module")
def prediction(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def model(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def request(signature="", output_filter=(), *, model="zoo", **inputs):
    message = predict_pb2.PredictRequest(output_filter=output_filter)
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    for key, value in inputs.items():
        message.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return message


def refusal(call, message):
    with pytest.raises(grpc.RpcError) as caught:
        call(message, timeout=TIMEOUT)
    return caught.value.code(), caught.value.details()


def test_predict_answers_in_typed_lists_and_echoes_the_resolved_spec(prediction):
    reply = prediction.Predict(request(x=np.float32([[1], [4]])), timeout=TIMEOUT)
    assert list(reply.outputs["y"].float_val) == [2.5, 4.0]
    assert reply.outputs["y"].tensor_content == b""
    assert tf.make_ndarray(reply.outputs["y"]).shape == (2, 1)
    spec = reply.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("zoo", "serving_default", 7)
    assert spec.WhichOneof("version_choice") == "version"


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2, 3)])
def test_shapes_are_not_checked_against_the_signature(prediction, shape):
    reply = prediction.Predict(request(x=np.ones(shape, np.float32)), timeout=TIMEOUT)
    assert tf.make_ndarray(reply.outputs["y"]).shape == shape


def test_a_version_can_be_chosen(prediction):
    message = request(x=np.float32([1]))
    message.model_spec.version.value = 7
    assert prediction.Predict(message, timeout=TIMEOUT).model_spec.version.value == 7


def test_strings_pass_byte_for_byte(prediction):
    value = np.array([b"a\x00b\xff", b""], object)
    reply = prediction.Predict(request("upper", text=value), timeout=TIMEOUT)
    assert list(reply.outputs["raw_bytes"].string_val) == [b"a\x00b\xff", b""]


def test_output_filter_returns_only_what_was_asked(prediction):
    message = request("upper", output_filter=["text"], text=["x"])
    assert list(prediction.Predict(message, timeout=TIMEOUT).outputs) == ["text"]


def test_signature_defaults_fill_missing_inputs(prediction):
    reply = prediction.Predict(request("defaulted", count=[4]), timeout=TIMEOUT)
    assert list(reply.outputs["product"].float_val) == [6.0]
    assert list(reply.outputs["name"].string_val) == [b"anon"]
    given = request("defaulted", count=[4], scale=np.float32([2]))
    assert list(prediction.Predict(given, timeout=TIMEOUT).outputs["product"].float_val) == [8.0]


def test_tensorflow_text_operations_are_registered_on_demand(prediction):
    reply = prediction.Predict(request("fold", text=["Straße ÄÖ"]), timeout=TIMEOUT)
    assert reply.outputs["text"].string_val[0].decode() == "strasse äö"


INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
X = np.float32([1])


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (predict_pb2.PredictRequest(), INVALID, "Missing ModelSpec"),
        (request(model="", x=X), INVALID, "ModelSpec has no name specified."),
        (request(model="m", x=X), MISSING, "Servable not found for request: Latest(m)"),
        (
            request("nope", x=X),
            grpc.StatusCode.FAILED_PRECONDITION,
            'Serving signature key "nope" not found.',
        ),
        (
            request(x=X, z=X, a=X),
            INVALID,
            "input size does not match signature: 3!=1 len({a,x,z}) != len({x}). "
            "Sent extra: {a,z}. Missing but required: {}.",
        ),
        (
            request("mixed", scale=X),
            INVALID,
            "input size does not match signature: 1!=3 len({scale}) != len({count,name,scale}). "
            "Sent extra: {}. Missing but required: {count,name}.",
        ),
        (
            request(z=X),
            INVALID,
            "Signature input alias: x(feed name: serving_default_x:0) not found in request and "
            "no default value provided. Inputs expected to be in the request {z}, "
            "or default input alias set: ",
        ),
        (
            request("defaulted", scale=X),
            INVALID,
            "Signature input alias: count(feed name: defaulted_count:0) not found in request and "
            "no default value provided. Inputs expected to be in the request {scale}, "
            "or default input alias set: name,scale",
        ),
        (
            request("defaulted", count=[1], z=X),
            INVALID,
            "Inputs contains invalid name. Used request inputs: count, request input: count,z",
        ),
        (
            request(x=["text"]),
            INVALID,
            "Expects arg[0] to be float but string is provided",
        ),
        (
            request(x=X, output_filter=["w"]),
            INVALID,
            "output tensor alias not found in signature: w "
            "Outputs expected to be in the set {double,y}.",
        ),
        (
            request(x=X, output_filter=["y", "y"]),
            INVALID,
            "duplicate output tensor alias: y",
        ),
    ],
)
def test_predict_refuses_as_tf_serving_does(prediction, message, code, text):
    assert refusal(prediction.Predict, message) == (code, text)


def test_an_unknown_version_is_named(prediction, model):
    message = request(x=X)
    message.model_spec.version.value = 8
    text = "Servable not found for request: Specific(zoo, 8)"
    assert refusal(prediction.Predict, message) == (MISSING, text)
    message.model_spec.name = "m"
    text = "Servable not found for request: Specific(m, 8)"
    assert refusal(prediction.Predict, message) == (MISSING, text)


def test_an_unknown_label_is_named(prediction):
    message = request(x=X)
    message.model_spec.version_label = "stable"
    text = "Unrecognized servable version label: stable"
    assert refusal(prediction.Predict, message) == (INVALID, text)


def test_broken_tensor_bytes_are_named_and_other_mistakes_come_first(prediction):
    message = request(x=X)
    message.inputs["x"].tensor_content = b"123"
    assert refusal(prediction.Predict, message) == (INVALID, "tensor parsing error: x")
    message.model_spec.signature_name = "nope"
    assert refusal(prediction.Predict, message)[0] == grpc.StatusCode.FAILED_PRECONDITION


def test_an_operation_that_fails_gives_its_own_status_and_long_texts_are_cut(prediction):
    code, text = refusal(prediction.Predict, request("check", x=np.float32([-1])))
    assert code == INVALID
    assert text.startswith("assertion failed: [mmm")
    assert text.endswith("...TRUNCATED")
    assert len(text) == 1024 + len("...TRUNCATED")


def test_bytes_that_are_no_message_are_the_callers_fault(channel):
    for method, name in [("PredictionService/Predict", "Predict"),
                         ("ModelService/GetModelStatus", "GetModelStatus")]:  # fmt: skip
        call = channel.unary_unary(f"/tensorflow.serving.{method}", bytes, bytes)
        text = f"The request is no tensorflow.serving.{name}Request."
        assert refusal(call, b"\xff\xff") == (INVALID, text)


def test_a_call_may_have_no_deadline(prediction):
    assert list(prediction.Predict(request(x=X)).outputs["y"].float_val) == [2.5]


def test_the_callers_deadline_stops_the_model(prediction):
    endless = request("count", n=np.int32(2**31 - 1))
    with pytest.raises(grpc.RpcError) as caught:
        prediction.Predict(endless, timeout=0.3)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    reply = prediction.Predict(request(x=X), timeout=TIMEOUT)  # the server goes on
    assert list(reply.outputs["y"].float_val) == [2.5]


def metadata_request(*fields, name="zoo"):
    message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    message.model_spec.name = name
    return message


def test_metadata_holds_the_signatures_and_the_version(prediction):
    reply = prediction.GetModelMetadata(metadata_request("signature_def"), timeout=TIMEOUT)
    assert (reply.model_spec.name, reply.model_spec.version.value) == ("zoo", 7)
    table = get_model_metadata_pb2.SignatureDefMap()
    assert reply.metadata["signature_def"].Unpack(table)
    signature = table.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert [dim.size for dim in signature.inputs["x"].tensor_shape.dim] == [-1, 1]
    assert set(table.signature_def["defaulted"].defaults) == {"scale", "name"}


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (get_model_metadata_pb2.GetModelMetadataRequest(), INVALID, "Missing ModelSpec"),
        (
            metadata_request(),
            INVALID,
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (metadata_request("weights"), INVALID, "Metadata field weights is not supported"),
        (
            metadata_request("signature_def", name="m"),
            MISSING,
            "Servable not found for request: Latest(m)",
        ),
        (metadata_request("signature_def", name=""), INVALID, "ModelSpec has no name specified."),
    ],
)
def test_metadata_refuses_as_tf_serving_does(prediction, message, code, text):
    assert refusal(prediction.GetModelMetadata, message) == (code, text)


def status_request(name="zoo", version=None, label=""):
    message = get_model_status_pb2.GetModelStatusRequest()
    message.model_spec.name = name
    if version is not None:
        message.model_spec.version.value = version
    if label:
        message.model_spec.version_label = label
    return message


@pytest.mark.parametrize("message", [status_request(), status_request(version=7)])
def test_status_of_a_served_version(model, message):
    (entry,) = model.GetModelStatus(message, timeout=TIMEOUT).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert (entry.version, entry.state, entry.status.error_code) == (7, available, 0)
    assert entry.HasField("status")


def test_status_ignores_labels(model):
    reply = model.GetModelStatus(status_request(label="stable"), timeout=TIMEOUT)
    assert [entry.version for entry in reply.model_version_status] == [7]


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (get_model_status_pb2.GetModelStatusRequest(), INVALID, "Missing ModelSpec"),
        (status_request("m"), MISSING, "Could not find any versions of model m"),
        (status_request(version=9), MISSING, "Could not find version 9 of model zoo"),
        (status_request("m", version=9), MISSING, "Could not find version 9 of model m"),
    ],
)
def test_status_refuses_as_tf_serving_does(model, message, code, text):
    assert refusal(model.GetModelStatus, message) == (code, text)
