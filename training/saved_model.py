"""One version of a SavedModel: written, asked again in a fresh process, and put in its place."""

import dataclasses
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from kmodels.core.paper import Endpoint, Paper
from training.config import Run, to_json
from training.files import sync

PNG = b"\x89PNG\r\n\x1a\n"
TOLERANCE = 1e-4  # of a number in the SavedModel's answer: absolute up to 1, relative above

Answer = dict[str, np.ndarray]


class Rejected(Exception):
    """The SavedModel is not what was trained, so it was not published; the message says where."""


class _Served(tf.Module):
    """What a SavedModel keeps: raw variables and the codec's tables, no Keras object.

    A session-style loader does not find variables that hang below a Keras layer.
    """

    def __init__(self, functions: Iterable[Any], resources: Sequence[Any]) -> None:
        super().__init__()
        self.weights = list({id(v): v for f in functions for v in f.graph.variables}.values())
        self.resources = list(resources)


def write(
    folder: pathlib.Path, model: keras.Model, codec: Any, endpoints: Mapping[str, Endpoint]
) -> dict[str, list[Answer]]:
    """Writes the SavedModel with warmup records; gives Python's answers to each `requests`."""
    answers = {
        id(endpoint): [answer(endpoint, full(endpoint, r)) for r in requests(endpoint)]
        for endpoint in endpoints.values()
    }
    if hasattr(model, "pack"):
        model.pack()
    functions = {id(endpoint): concrete(endpoint) for endpoint in endpoints.values()}
    signatures = {name: functions[id(endpoint)] for name, endpoint in endpoints.items()}
    served = _Served(functions.values(), codec.resources)
    # What is served is not differentiated, and custom gradients take a third of a U-Net's export.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(served, str(folder), signatures=signatures, options=options)
    forget_gradients(folder / "saved_model.pb")
    set_defaults(folder / "saved_model.pb", endpoints)
    write_warmup(folder, endpoints)
    return {name: answers[id(endpoint)] for name, endpoint in endpoints.items()}


def requests(endpoint: Endpoint) -> list[Mapping[str, Any]]:
    """The example, and its first row alone, for which a graph may have a branch of its own."""
    return [endpoint.example, {key: value[:1] for key, value in endpoint.example.items()}]


def answer(endpoint: Endpoint, request: Mapping[str, Any]) -> Answer:
    """What Python answers to a whole request."""
    tensors = {k: tf.constant(v, endpoint.inputs[k].dtype) for k, v in request.items()}
    return {k: v.numpy() for k, v in endpoint.function(**tensors).items()}


def concrete(endpoint: Endpoint) -> Any:
    """The endpoint's graph, its inputs named as they are called."""
    specs = {k: tf.TensorSpec(s.shape, s.dtype, name=k) for k, s in endpoint.inputs.items()}
    return tf.function(endpoint.function, autograph=False).get_concrete_function(**specs)


def full(endpoint: Endpoint, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A request, or the example, with the defaults that it leaves out."""
    return {**endpoint.defaults, **(endpoint.example if request is None else request)}


def forget_gradients(file: pathlib.Path) -> None:
    """Takes the names of gradients that were not saved from the graph.

    `tf.saved_model.load` would warn of each; without them it differentiates by TensorFlow's rules.
    """
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    graph = saved.meta_graphs[0].graph_def
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        for node in nodes:
            node.attr.pop("_gradient_op_type", None)
    file.write_bytes(saved.SerializeToString(deterministic=True))


def set_defaults(file: pathlib.Path, endpoints: Mapping[str, Endpoint]) -> None:
    """Writes the endpoints' defaults into the signatures, where servers fill missing inputs."""
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for name, endpoint in endpoints.items():
        signature = saved.meta_graphs[0].signature_def[name]
        for key, value in endpoint.defaults.items():
            tensor = tf.make_tensor_proto(value, dtype=endpoint.inputs[key].dtype)
            signature.defaults[key].CopyFrom(tensor)
    file.write_bytes(saved.SerializeToString(deterministic=True))


def write_warmup(folder: pathlib.Path, endpoints: Mapping[str, Endpoint]) -> None:
    """All `requests`, which a server replays before it takes a version into use."""
    extra = folder / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for name, endpoint in endpoints.items():
            for given in requests(endpoint):
                request = predict_pb2.PredictRequest()
                request.model_spec.signature_name = name
                for key, value in given.items():
                    tensor = tf.make_tensor_proto(value, dtype=endpoint.inputs[key].dtype)
                    request.inputs[key].CopyFrom(tensor)
                log = prediction_log_pb2.PredictLog(request=request)
                writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def card(run: Run, paper: Paper, endpoints: Mapping[str, Endpoint], *, step: int) -> dict[str, Any]:
    """What a reader of the export wants to know: the model, its training, its endpoints."""

    def described(specs: Mapping[str, tf.TensorSpec], defaults: Mapping[str, Any]) -> Any:
        return {
            name: {
                "dtype": spec.dtype.name,
                "shape": None if spec.shape.rank is None else spec.shape.as_list(),
                **({"default": defaults[name]} if name in defaults else {}),
            }
            for name, spec in specs.items()
        }

    return {
        "model": run.model,
        "preset": run.preset,
        "paper": dataclasses.asdict(paper.PAPER),
        "parameters": paper.param_count(run.config),
        "config": dataclasses.asdict(run.config),
        "recipe": json.loads(to_json(run))["recipe"],
        "step": step,
        "data_sha256": run.data_sha256,
        "endpoints": {n: described(e.inputs, e.defaults) for n, e in endpoints.items()},
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "exported": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def verify(
    folder: pathlib.Path,
    endpoints: Mapping[str, Endpoint],
    answers: Mapping[str, list[Answer]],
) -> None:
    """Asks the SavedModel in a fresh process, session style, without this project's code.

    Raises:
        Rejected: it does not load, or an answer differs.
    """
    asked: dict[str, Any] = {}
    for name, endpoint in endpoints.items():
        for number, request in enumerate(requests(endpoint)):
            for key, value in full(endpoint, request).items():
                array = np.array(value, endpoint.inputs[key].dtype.as_numpy_dtype)
                asked[f"{name}/{number}/{key}"] = _plain(array)
    script = pathlib.Path(__file__).with_name("export_check.py")
    with tempfile.TemporaryDirectory() as place:
        files = pathlib.Path(place) / "asked.npz", pathlib.Path(place) / "answered.npz"
        np.savez(files[0], **asked)
        done = subprocess.run(
            [sys.executable, str(script), str(folder.resolve()), *map(str, files)],
            capture_output=True,
            text=True,
            cwd=place,
        )
        if done.returncode:
            why = done.stderr.strip().splitlines() or ["no reason given"]
            raise Rejected(f"The SavedModel does not answer in a fresh process: {why[-1]}")
        got = dict(np.load(files[1]))
    for name, outputs in answers.items():
        for number, output in enumerate(outputs):
            for key, value in output.items():
                compare(f"{name}/{key}", _plain(value), got[f"{name}/{number}/{key}"])


def _plain(value: np.ndarray) -> np.ndarray:
    """Strings as fixed-width bytes with a final mark, for NumPy drops trailing zero bytes."""
    if value.dtype != object:
        return value
    items = [v if isinstance(v, bytes) else str(v).encode() for v in value.ravel()]
    return np.array([v + b"." for v in items], "S").reshape(value.shape)


def compare(name: str, python: np.ndarray, saved: np.ndarray) -> None:
    """Raises Rejected unless both answers are equal, numbers to within `TOLERANCE`.

    Brightness, 0 to 255 in bytes or PNG files, may be one step off: what lies between two steps may
    be rounded to either.
    """
    if python.dtype.kind == "S" and python.shape == saved.shape and _are_png(python, saved):
        pairs = zip(python.ravel(), saved.ravel(), strict=True)
        for one, other in pairs:
            compare(name, _pixels(one), _pixels(other))
        return
    if python.dtype == saved.dtype == np.uint8 and python.shape == saved.shape:
        python, saved = python.astype(np.int32), saved.astype(np.int32)
        if np.max(np.abs(python - saved), initial=0) <= 1:
            return
    if python.dtype.kind == "f" and python.shape == saved.shape:
        away = np.abs(python - saved) / np.maximum(np.abs(python), 1.0)
        worst = float(np.max(away, initial=0.0))
        if worst <= TOLERANCE:
            return
        raise Rejected(f"The SavedModel's {name} differs by {worst} from the Python model's.")
    if not np.array_equal(python, saved):
        raise Rejected(f"The SavedModel's {name} is {saved!r}, the Python model's {python!r}.")


def _are_png(*answers: np.ndarray) -> bool:
    return all(answer.size and all(v.startswith(PNG) for v in answer.ravel()) for answer in answers)


def _pixels(file: bytes) -> np.ndarray:
    """uint8 [H, W, C] of a PNG file with a mark behind it."""
    return np.asarray(tf.io.decode_png(file[:-1]))


def move(part: pathlib.Path, base: pathlib.Path) -> pathlib.Path:
    """Gives the finished version the next free number, in one rename."""
    for file in part.rglob("*"):
        sync(file)
    while True:
        taken = [int(p.name) for p in base.iterdir() if p.name.isdigit()]
        final = base / str(max(taken, default=0) + 1)
        try:
            part.rename(final)
        except OSError:
            if not final.exists():
                raise
            continue  # somebody else took the number
        sync(base)
        return final
