"""Models made on the spot, and server processes that end with the test that started them."""

import glob
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import grpc
import pytest
import tensorflow as tf
import trustme
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2  # noqa: F401  before the client, see its tests

ROOT = Path(__file__).parents[2]
START_SECONDS = 90.0
FLOATS = {name: tf.io.FixedLenFeature([1], tf.float32, [0.0]) for name in ("x", "y")}


class Zoo(tf.Module):
    """A signature for every behaviour that the tests ask about."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = tf.Variable(offset)

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32)])
    def half(self, x):
        y = x * 0.5 + self.offset
        return {"y": y, "double": x + x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def upper(self, text):
        return {"text": tf.strings.upper(text), "raw_bytes": text, "image": text + b"\xff"}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.string),
        ]
    )
    def mixed(self, scale, count, name):
        return {"product": scale * tf.cast(count, tf.float32), "name": name}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32)])
    def count(self, n):
        return {"n": tf.while_loop(lambda i: i < n, lambda i: [i + 1], [tf.constant(0)])[0]}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)])
    def check(self, x):
        with tf.control_dependencies([tf.debugging.assert_positive(x, message="m" * 2000)]):
            return {"y": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.bfloat16), tf.TensorSpec(None, tf.uint8)])
    def echo(self, b, u):
        return {"b": tf.identity(b), "u": tf.identity(u)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def regress(self, inputs):
        return {"outputs": tf.io.parse_example(inputs, FLOATS)["x"] + self.offset}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def fold(self, text):
        return {"text": text_operations().case_fold_utf8(input=text)}


CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def save_examples(path: Path) -> Path:
    """A TF1 SavedModel whose signatures take tf.Examples with float features `x` and `y`."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        inputs = v1.placeholder(tf.string, [None], name="examples")
        parsed = tf.io.parse_example(inputs, FLOATS)
        x, y = parsed["x"], parsed["y"]
        weight = v1.get_variable("weight", initializer=10.0)
        labels, scores = tf.repeat([[b"x", b"y"]], tf.shape(x)[0], axis=0), tf.concat([x, y], 1)
        value = x + weight * y
        table = {
            "serving_default": (CLASSIFY, {"classes": labels, "scores": scores}),
            "classes": (CLASSIFY, {"classes": labels}),
            "scores": (CLASSIFY, {"scores": scores}),
            "flat_classes": (CLASSIFY, {"classes": labels[:, 0]}),
            "uneven": (CLASSIFY, {"classes": labels[:, :1], "scores": scores}),
            "numbers": (CLASSIFY, {"classes": scores}),
            "bytes": (CLASSIFY, {"classes": tf.fill([1, 1], b"\xff")}),
            "third": (CLASSIFY, {"classes": labels, "scores": scores, "more": x}),
            "regress": (REGRESS, {"outputs": value}),
            "flat": (REGRESS, {"outputs": value[:, 0]}),
            "wide": (REGRESS, {"outputs": scores}),
            "one": (REGRESS, {"outputs": tf.reduce_sum(x, keepdims=True)}),
            "whole": (REGRESS, {"outputs": tf.cast(x, tf.int32)}),
        }
        session.run(v1.global_variables_initializer())
        signatures = {
            name: signature({"inputs": inputs}, outputs, method)
            for name, (method, outputs) in table.items()
        }
        other = v1.placeholder(tf.string, [None], name="other")
        more = tf.io.parse_example(other, FLOATS)["y"]
        signatures["renamed"] = signature({"text": inputs}, {"outputs": value}, REGRESS)
        signatures["two"] = signature({"inputs": inputs, "more": other}, {"outputs": x}, REGRESS)
        signatures["other"] = signature({"inputs": other}, {"outputs": more}, REGRESS)
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    return path


def signature(inputs, outputs, method):
    info = tf.compat.v1.saved_model.build_tensor_info
    return tf.compat.v1.saved_model.build_signature_def(
        {name: info(tensor) for name, tensor in inputs.items()},
        {name: info(tensor) for name, tensor in outputs.items()},
        method,
    )


def text_operations():
    """One of tensorflow-text's operation libraries, without the package around it."""
    package = importlib.util.find_spec("tensorflow_text")
    (library,) = glob.glob(f"{package.submodule_search_locations[0]}/python/ops/_normalize_ops.so")
    return tf.load_op_library(library)


def save(path: Path, offset: float = 2.0) -> Path:
    module = Zoo(offset)
    signatures = {
        "serving_default": module.half,
        "upper": module.upper,
        "mixed": module.mixed,
        "defaulted": module.mixed.get_concrete_function(),
        "count": module.count,
        "check": module.check,
        "echo": module.echo,
        "fold": module.fold,
        "regress": module.regress,
    }
    tf.saved_model.save(module, str(path), signatures=signatures)
    file = path / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    defaults = saved_model.meta_graphs[0].signature_def["defaulted"].defaults
    defaults["scale"].CopyFrom(tf.make_tensor_proto([1.5], tf.float32))
    defaults["name"].CopyFrom(tf.make_tensor_proto([b"anon"]))
    file.write_bytes(saved_model.SerializeToString())
    return path


@pytest.fixture(scope="session")
def version_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel of the zoo with offset 2, to be copied and not changed."""
    return save(tmp_path_factory.mktemp("zoo") / "model")


@pytest.fixture(scope="session")
def other_version_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with offset 3."""
    return save(tmp_path_factory.mktemp("other_zoo") / "model", 3.0)


@pytest.fixture(scope="session")
def examples_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel that classifies and regresses tf.Examples, not to be changed."""
    return save_examples(tmp_path_factory.mktemp("examples") / "model")


@pytest.fixture(scope="session")
def pem() -> dict[str, Any]:
    """(Key, certificate) of a `server` and of a `client`, and the `ca` that signed them."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)

    def pair(name: str) -> tuple[bytes, bytes]:
        leaf = authority.issue_cert(name)
        return leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes()

    signed = {"server": pair("127.0.0.1"), "client": pair("client@example.org")}
    return {**signed, "ca": authority.cert_pem.bytes()}


@pytest.fixture
def write_ssl_config() -> Callable[..., Path]:
    """Writes a text SSLConfig with these fields; its path."""

    def shown(value: bytes | bool) -> str:
        if isinstance(value, bytes):
            return '"' + value.decode().replace("\n", "\\n") + '"'
        return str(value).lower()

    def write(path: Path, **fields: bytes | bool) -> Path:
        path.write_text("\n".join(f"{name}: {shown(value)}" for name, value in fields.items()))
        return path

    return write


class ServerProcess:
    """`python -m serving.server` on a free port of 127.0.0.1, and the lines it prints."""

    def __init__(self, *flags: str) -> None:
        command = [sys.executable, "-m", "serving.server", "--host=127.0.0.1", "--port=0", *flags]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self.lines.append("<end>")
            self._news.notify_all()

    def wait_for(self, pattern: str, seconds: float = START_SECONDS) -> re.Match[str]:
        """The first printed line that matches."""

        def found() -> re.Match[str] | None:
            return next((m for line in self.lines if (m := re.search(pattern, line))), None)

        with self._news:
            self._news.wait_for(lambda: found() or "<end>" in self.lines, seconds)
            match = found()
        assert match, f"no line matches {pattern!r} in {self.lines}"
        return match

    def target(self) -> str:
        """Its address, once it is ready."""
        return self.wait_for(r"^serving .* at (127\.0\.0\.1:\d+) \(gRPC\)")[1]

    def ended(self, seconds: float = 30.0) -> int:
        """Its exit status, once it has ended."""
        status = self.process.wait(seconds)
        self._reader.join(seconds)
        return status

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.ended()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        self.process.stderr.close()


def _servers() -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers with the given flags; they are killed when the test, or file, ends."""
    started: list[ServerProcess] = []

    def start(*flags: str) -> ServerProcess:
        started.append(ServerProcess(*flags))
        return started[-1]

    yield start
    for server in started:
        server.close()


start_server = pytest.fixture(_servers, name="start_server")
start_server_for_file = pytest.fixture(_servers, name="start_server_for_file", scope="module")


@pytest.fixture(scope="session")
def target(version_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one server for all tests: model `zoo`, version 7 and a stray folder."""
    base = tmp_path_factory.mktemp("served")
    shutil.copytree(version_folder, base / "00000007")
    (base / "notes").mkdir()
    server = ServerProcess("--model_name=zoo", f"--model_base_path={base}")
    yield server.target()
    server.close()


@pytest.fixture(scope="session")
def channel(target: str) -> Iterator[grpc.Channel]:
    """A plain channel to that server."""
    with grpc.insecure_channel(target) as opened:
        yield opened


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits until a condition holds; fails after 30 seconds."""

    def wait(condition: Callable[[], bool], seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the condition never became true"
            time.sleep(0.01)

    return wait
