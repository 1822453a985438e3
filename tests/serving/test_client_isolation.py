"""The client lives without TensorFlow, and beside it."""

import subprocess
import sys
from pathlib import Path

from tensorflow_serving.apis import predict_pb2

from serving.client import wire

ROOT = Path(__file__).parents[2]

ALONE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"tensorflow", "tensorflow_serving", "keras", "ml_dtypes"}:
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
import serving.client, serving.client.command
import numpy as np
from serving.client import tensors
array = tensors.decode(tensors.encode(np.float32([1.5]), "bfloat16"))
assert array.dtype == np.float32, array.dtype
assert not any(name.split(".")[0].startswith(("tensorflow", "keras")) for name in sys.modules)
"""

CLIENT_FIRST = """
from serving.client import wire
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
ours = wire.PredictRequest()
ours.model_spec.name = "m"
assert predict_pb2.PredictRequest.FromString(ours.SerializeToString()).model_spec.name == "m"
"""


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr


def test_the_client_needs_no_tensorflow():
    run(ALONE)


def test_the_client_before_the_official_stubs():
    run(CLIENT_FIRST)


def test_the_client_after_the_official_stubs():
    assert list(sys.modules).index("tensorflow_serving.apis") < list(sys.modules).index(
        "serving.client.wire"
    )
    theirs = predict_pb2.PredictRequest()
    theirs.model_spec.name = "m"
    assert wire.PredictRequest.FromString(theirs.SerializeToString()).model_spec.name == "m"
