"""A server of ours in a process of its own, with a small model to ask."""

import contextlib
import dataclasses
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

START_SECONDS = 120.0
END_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Ports:
    """Where one server listens, on 127.0.0.1."""

    grpc: int
    rest: int


def save_model(folder: pathlib.Path, offset: float = 2.0) -> None:
    """A SavedModel with an input for numbers and one for text: x / 2 + offset, upper case."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32)], autograph=False)
        def half(self, x: Any) -> dict[str, Any]:
            return {"y": x * 0.5 + offset}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def upper(self, text: Any) -> dict[str, Any]:
            return {"text": tf.strings.upper(text), "raw_bytes": text}

    model = Model()
    signatures = {"serving_default": model.half, "text": model.upper}
    tf.saved_model.save(model, str(folder), signatures=signatures)


def monitoring(folder: pathlib.Path) -> str:
    """The flag that turns metrics on, with a file beside the folder."""
    file = folder.with_name("monitoring.config")
    file.write_text("prometheus_config { enable: true }")
    return f"--monitoring_config_file={file}"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(folder: pathlib.Path, *flags: str) -> Iterator[tuple["subprocess.Popen[str]", Ports]]:
    """A server of the model in `folder`, called `m`; it must end well. Its log is beside it."""
    rest = free_port()
    command = [sys.executable, "-m", "serving.server", "--host=127.0.0.1", "--port=0",
               f"--rest_api_port={rest}", "--model_name=m", f"--model_base_path={folder}",
               *flags]  # fmt: skip
    log = folder.with_name("server.log")
    with log.open("w") as out, subprocess.Popen(command, stderr=out, text=True) as process:
        try:
            yield process, Ports(_grpc_port(process, log), rest)
            assert process.poll() is None, f"the server has crashed: {log.read_text()[-2000:]}"
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(END_SECONDS)
        text = log.read_text()
        assert status == 0 and "Traceback" not in text, text[-3000:]


def _grpc_port(process: "subprocess.Popen[str]", log: pathlib.Path) -> int:
    """The port that the server has told of, once it answers."""
    deadline = time.monotonic() + START_SECONDS
    while not (found := re.search(r"at 127\.0\.0\.1:(\d+) \(gRPC\)", log.read_text())):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return int(found[1])


def memory_mib(process: "subprocess.Popen[str]") -> float:
    """What the process holds in memory now."""
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found
    return int(found[1]) / 1024
