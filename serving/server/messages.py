"""What came over REST, as the messages that gRPC would have brought: for the request log."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.server import tensors
from serving.server.engine import Classification, Prediction, Regression
from serving.server.services import write_classes, write_spec, write_values

Array = np.ndarray[Any, Any]


def predict(model: str, inputs: Mapping[str, Array], answer: Prediction) -> tuple[Any, Any]:
    """PredictRequest and PredictResponse."""
    request, reply = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
    write_spec(model, answer, request.model_spec)
    write_spec(model, answer, reply.model_spec)
    for name, array in inputs.items():
        tensors.encode(array, request.inputs[name])
    for name, array in answer.outputs.items():
        tensors.encode(array, reply.outputs[name])
    return request, reply


def classify(model: str, examples: Sequence[bytes], answer: Classification) -> tuple[Any, Any]:
    """ClassificationRequest and ClassificationResponse."""
    request = classification_pb2.ClassificationRequest()
    reply = classification_pb2.ClassificationResponse()
    write_classes(answer, reply.result)
    return _with_examples(model, examples, answer, (request, reply))


def regress(model: str, examples: Sequence[bytes], answer: Regression) -> tuple[Any, Any]:
    """RegressionRequest and RegressionResponse."""
    request, reply = regression_pb2.RegressionRequest(), regression_pb2.RegressionResponse()
    write_values(answer, reply.result)
    return _with_examples(model, examples, answer, (request, reply))


def _with_examples(
    model: str, examples: Sequence[bytes], answer: Any, pair: tuple[Any, Any]
) -> tuple[Any, Any]:
    for message in pair:
        write_spec(model, answer, message.model_spec)
    for example in examples:
        pair[0].input.example_list.examples.add().ParseFromString(example)
    return pair
