"""Classify, Regress and MultiInference: in process, and over the wire with the official stubs."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.server import saved_model
from serving.server.engine import Engine, ModelChoice
from serving.server.errors import Code, ServingError
from serving.server.repository import Policy, Repository
from serving.server.services import make_server

TIMEOUT = 30.0
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def example(**features):
    message = tf.train.Example()
    for name, value in features.items():
        message.features.feature[name].float_list.value.append(value)
    return message


@pytest.fixture(scope="module")
def repository(examples_folder, tmp_path_factory):
    base = tmp_path_factory.mktemp("m")
    (base / "5").symlink_to(examples_folder)
    made = Repository("m", base, saved_model.load, policy=Policy())
    made.refresh()
    yield made
    made.close()


@pytest.fixture(scope="module")
def engine(repository):
    return Engine({"m": repository})


@pytest.fixture(scope="module")
def stub(engine):
    server = make_server(engine, threads=2)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
    server.stop(None).wait()


M = ModelChoice(name="m")
ONE = example(x=1, y=2)
TWO = [example(x=1, y=2).SerializeToString(), example(y=3).SerializeToString()]


def test_the_engine_gives_classes_as_arrays(engine):
    answer = engine.classify(M, TWO)
    assert answer.classes.tolist() == [[b"x", b"y"], [b"x", b"y"]]
    assert answer.scores.tolist() == [[1.0, 2.0], [0.0, 3.0]]
    assert (answer.version, answer.signature) == (5, "serving_default")
    assert engine.classify(M, TWO, signature="classes").scores is None
    assert engine.classify(M, TWO, signature="scores").classes is None


@pytest.mark.parametrize("signature", ["regress", "flat"])
def test_the_engine_gives_values_as_one_array(engine, signature):
    answer = engine.regress(M, TWO, signature=signature)
    assert answer.values.tolist() == [21.0, 30.0]
    assert answer.values.dtype == np.float32
    assert (answer.version, answer.signature) == (5, signature)


def test_a_deadline_that_has_passed_runs_nothing(engine):
    for ask in (engine.classify, engine.regress):
        with pytest.raises(ServingError) as caught:
            ask(M, TWO, timeout_seconds=0.0)
        assert caught.value.code == Code.DEADLINE_EXCEEDED


def test_method_names_are_checked_only_where_that_is_asked_for(repository):
    strict = Engine({"m": repository}, check_methods=True)
    assert strict.classify(M, TWO).version == 5
    with pytest.raises(ServingError) as caught:
        strict.regress(M, TWO)
    assert caught.value.message == (
        f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}"
    )


def test_tf2_exports_regress_although_they_are_stored_as_predicting(channel):
    request = regression_pb2.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "zoo", "regress"
    request.input.example_list.examples.extend([example(x=1), example(x=2)])
    reply = prediction_service_pb2_grpc.PredictionServiceStub(channel).Regress(
        request, timeout=TIMEOUT
    )
    assert [r.value for r in reply.result.regressions] == [3.0, 4.0]


def request(kind, signature="", examples=(ONE,), *, context=None, model="m"):
    """A ClassificationRequest or RegressionRequest; no examples at all when None."""
    message = kind()
    message.model_spec.name, message.model_spec.signature_name = model, signature
    if context is not None:
        message.input.example_list_with_context.examples.extend(examples)
        message.input.example_list_with_context.context.CopyFrom(context)
    elif examples is not None:
        message.input.example_list.examples.extend(examples)
    return message


def classification(*arguments, **options):
    return request(classification_pb2.ClassificationRequest, *arguments, **options)


def regression(*arguments, **options):
    return request(regression_pb2.RegressionRequest, *arguments, **options)


def test_classify_answers_labels_and_scores_row_by_row(stub):
    message = classification("", [example(x=1, y=2), example(y=3)])
    reply = stub.Classify(message, timeout=TIMEOUT)
    rows = [[(c.label, c.score) for c in row.classes] for row in reply.result.classifications]
    assert rows == [[("x", 1.0), ("y", 2.0)], [("x", 0.0), ("y", 3.0)]]
    spec = reply.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("m", "serving_default", 5)


@pytest.mark.parametrize(
    ("signature", "row"),
    [("classes", [("x", 0.0), ("y", 0.0)]), ("scores", [("", 1.0), ("", 2.0)])],
)
def test_classes_or_scores_may_be_missing(stub, signature, row):
    reply = stub.Classify(classification(signature), timeout=TIMEOUT)
    (answer,) = reply.result.classifications
    assert [(c.label, c.score) for c in answer.classes] == row


def test_the_context_is_merged_and_examples_override_it(stub):
    examples = [example(x=1), example(x=1, y=5)]
    message = regression("regress", examples, context=example(y=2))
    reply = stub.Regress(message, timeout=TIMEOUT)
    assert [r.value for r in reply.result.regressions] == [21.0, 51.0]


EMPTY = classification_pb2.ClassificationRequest()
UNKNOWN = "No signature was found with the name: nope"


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (EMPTY, INVALID, "Missing ModelSpec"),
        (classification(model=""), INVALID, "ModelSpec has no name specified."),
        (
            classification(model="n"),
            grpc.StatusCode.NOT_FOUND,
            "Servable not found for request: Latest(n)",
        ),
        (classification("nope"), INVALID, UNKNOWN),
        (regression("nope"), INVALID, UNKNOWN),
        (classification(examples=None), INVALID, "Input is empty."),
        (classification(examples=()), INVALID, "Input is empty."),
        (regression("regress", ()), INVALID, "Input is empty."),
        (regression("regress", (), context=example(x=1)), INVALID, "Input is empty."),
        (
            classification("regress"),
            INVALID,
            "Expected classification signature outputs to be classes or scores. Were: outputs",
        ),
        (
            classification("third"),
            INVALID,
            "Expected classification signature outputs to be classes or scores. "
            "Were: classes, more, scores",
        ),
        (
            regression(),
            INVALID,
            "Expected regression signature outputs to be outputs. Were: classes, scores",
        ),
        (
            classification("numbers"),
            INVALID,
            "Expected classes Tensor of DT_STRING. Got: DT_FLOAT",
        ),
        (regression("whole"), INVALID, "Expected outputs Tensor of DT_FLOAT. Got: DT_INT32"),
        (
            classification("flat_classes"),
            INVALID,
            "Expected classes of shape [batch_size num_classes] but got [1]",
        ),
        (
            classification("uneven"),
            INVALID,
            "Tensors class and score should match in dim_size(1). Got 1 vs. 2",
        ),
        (
            regression("wide"),
            INVALID,
            "Expected outputs of shape [batch_size] or [batch_size 1] but got [1, 2]",
        ),
        (
            regression("one", [example(x=1), example(x=2)]),
            INVALID,
            "Expected outputs for 2 examples. Got: 1",
        ),
        (regression("two"), INVALID, "Expected one input Tensor, not 2."),
        (
            regression("renamed"),
            INVALID,
            "No regression inputs found in signature renamed: its input is called text, not inputs",
        ),
    ],
)
def test_classify_and_regress_refuse_as_tf_serving_does(stub, message, code, text):
    is_regression = isinstance(message, regression_pb2.RegressionRequest)
    with pytest.raises(grpc.RpcError) as caught:
        (stub.Regress if is_regression else stub.Classify)(message, timeout=TIMEOUT)
    assert (caught.value.code(), caught.value.details()) == (code, text)


def test_labels_that_are_no_text_have_no_form_on_the_wire(stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Classify(classification("bytes"), timeout=TIMEOUT)
    assert caught.value.code() == INVALID
    assert caught.value.details() == r"classes hold b'\xff', which is not UTF-8 text"


def test_an_example_of_another_type_gives_the_graphs_own_status(stub):
    wrong = tf.train.Example()
    wrong.features.feature["x"].int64_list.value.append(1)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Classify(classification("", [wrong]), timeout=TIMEOUT)
    assert caught.value.code() == INVALID
    assert "Key: x" in caught.value.details()


def multi(*tasks, examples=(ONE,)):
    """A MultiInferenceRequest of (method, signature) or (method, signature, model)."""
    message = inference_pb2.MultiInferenceRequest()
    for method, signature, *model in tasks:
        task = message.tasks.add(method_name=method)
        task.model_spec.name = model[0] if model else "m"
        task.model_spec.signature_name = signature
    message.input.example_list.examples.extend(examples)
    return message


def test_multi_inference_answers_each_task_in_order(stub):
    reply = stub.MultiInference(multi((REGRESS, "regress"), (CLASSIFY, "")), timeout=TIMEOUT)
    first, second = reply.results
    assert [r.value for r in first.regression_result.regressions] == [21.0]
    (row,) = second.classification_result.classifications
    assert [(c.label, c.score) for c in row.classes] == [("x", 1.0), ("y", 2.0)]
    assert [r.model_spec.signature_name for r in reply.results] == ["regress", "serving_default"]
    assert {r.model_spec.version.value for r in reply.results} == {5}


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (multi(), INVALID, "Missing ModelSpec"),
        (multi((CLASSIFY, "", "")), INVALID, "ModelSpec has no name specified."),
        (
            multi((CLASSIFY, ""), (REGRESS, "regress", "")),
            INVALID,
            "Found ModelSpec with an empty model name.",
        ),
        (
            multi((CLASSIFY, ""), (REGRESS, "regress", "n")),
            INVALID,
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            multi((CLASSIFY, ""), (CLASSIFY, "serving_default")),
            INVALID,
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            multi((CLASSIFY, "nope")),
            INVALID,
            "Requested signature not found in model graph: nope",
        ),
        (
            multi((CLASSIFY, ""), ("tensorflow/serving/predict", "regress")),
            grpc.StatusCode.UNIMPLEMENTED,
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        (
            multi((CLASSIFY, ""), (REGRESS, "other")),
            INVALID,
            "Input tensor must be the same for all Signatures.",
        ),
        (multi((CLASSIFY, ""), examples=()), INVALID, "Input is empty."),
    ],
)
def test_multi_inference_refuses_as_tf_serving_does(stub, message, code, text):
    with pytest.raises(grpc.RpcError) as caught:
        stub.MultiInference(message, timeout=TIMEOUT)
    assert (caught.value.code(), caught.value.details()) == (code, text)
