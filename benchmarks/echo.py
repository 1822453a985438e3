"""How much of a bare gRPC server's speed is left once it is a model server?

    uv sync --group benchmarks
    uv run --no-sync python -m benchmarks.echo --rounds=7

A model that computes next to nothing, asked for one value at a time by 16 callers in another
process. Beside our server, in turn: a grpcio server that hands back the bytes it was sent; the
same function behind FastAPI, as one writes it and in the fastest way into a SavedModel; and the
same function and the same protocol behind Ray Serve's gRPC proxy. Ray's processes work even when
nobody asks, so it has rounds of its own, with ours again.
Requests are made once and replies are not parsed, for all alike.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import grpc
import tyro

from benchmarks import peers, record, servers

CALLERS = 16
SECONDS = 60.0  # until a call is lost
START_SECONDS = 180.0
METHOD = "/tensorflow.serving.PredictionService/Predict"
GROUPS = {
    "alone": ("ours", "echo", "fastapi", "fastapi-session"),
    "beside Ray": ("ours", "ray"),
}
Call = Callable[[], bytes]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Asks our server and its peers for very little, many times.

    Attributes:
        rounds: Turns of each server.
        calls: Calls in a turn, of all callers together.
        save: Whether to write docs/results/echo.json and .png.
        worker: Used by the command itself.
        port: Used by the command itself.
    """

    rounds: int = 7
    calls: int = 8000
    save: bool = True
    worker: str = ""
    port: tuple[str, ...] = ()


def request() -> bytes:
    """A PredictRequest for one value."""
    import numpy as np

    from serving.client import tensors, wire

    message = wire.PredictRequest()
    message.model_spec.name = "m"
    message.inputs["x"].CopyFrom(tensors.encode(np.array([[3.0]], np.float32), "float32"))
    text: bytes = message.SerializeToString()
    return text


def over_grpc(port: int) -> Call:
    """Asks over gRPC, one channel for all callers."""
    ask = grpc.insecure_channel(f"127.0.0.1:{port}").unary_unary(METHOD, None, None)
    text = request()
    return lambda: bytes(ask(text, timeout=SECONDS, wait_for_ready=True))


def over_http(port: int) -> Call:
    """Asks over HTTP/1.1, on a connection that stays open."""
    body = json.dumps({"x": [[3.0]]}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: m\r\nContent-Length: {len(body)}\r\n"
    text = head.encode() + b"Content-Type: application/json\r\n\r\n" + body
    connection = socket.create_connection(("127.0.0.1", port), SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call() -> bytes:
        connection.sendall(text)
        reply = b""
        while not reply.endswith(b"}"):  # the body is one JSON object
            part = connection.recv(65536)
            assert part and (reply + part).startswith(b"HTTP/1.1 200"), reply + part
            reply += part
        return reply

    return call


def callers(name: str, port: int) -> tuple[peers.Job, str]:
    """So many threads that ask again and again."""
    one = None if name.startswith("fastapi") else over_grpc(port)
    calls = [one or over_http(port) for _ in range(CALLERS)]
    pool = concurrent.futures.ThreadPoolExecutor(CALLERS)

    def job(number: int) -> None:
        def ask(call: Call) -> None:
            for _ in range(number // CALLERS):
                assert call()

        list(pool.map(ask, calls))

    return job, f"{CALLERS} callers"


@contextlib.contextmanager
def running(name: str, folder: pathlib.Path) -> Iterator[int]:
    """A server, and its port once it answers."""
    if name == "ours":
        with servers.server(folder) as (_, ports):
            yield ports.grpc
        return
    port = servers.free_port()
    command = [sys.executable, "-m", "benchmarks.echo_peers", name, str(port), str(folder / "1")]
    with subprocess.Popen(command, cwd=record.ROOT) as process:
        try:
            wait(process, port)
            if not name.startswith("fastapi"):
                answered(over_grpc(port))
            yield port
        finally:
            process.terminate()
            process.wait(SECONDS)


def wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Until somebody listens at the port."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None and time.monotonic() < deadline, "the peer does not start"
        time.sleep(0.1)


def answered(call: Call) -> None:
    """Until a call is answered: Ray Serve listens before it knows what it serves."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            call()
            return
        except grpc.RpcError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def rates(names: Sequence[str], folder: pathlib.Path, flags: Flags) -> dict[str, list[float]]:
    """Calls a second of these servers, in turn."""
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(running(name, folder)) for name in names}
        given = [f"{name}={port}" for name, port in ports.items()]
        found = peers.measured(
            __file__, names, rounds=flags.rounds, units=flags.calls, arguments=["--port", *given]
        )
    return {name: [1 / s for s in row] for name, row in found.seconds.items()}


def main() -> None:
    """Serves, asks, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.echo")
    if flags.worker:
        ports = dict(given.split("=") for given in flags.port)
        port = int(ports[flags.worker])
        peers.serve(lambda: callers(flags.worker, port), warm=CALLERS * 50)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place) / "m"
        servers.save_model(folder / "1")
        found, ratios = {}, {}
        for group, names in GROUPS.items():
            found[group] = values = rates(names, folder, flags)
            others = [name for name in values if name != "ours"]
            peers.show(group, values, unit="calls/s", references=others, about={})
            ratios[group] = {name: peers.ratios(values, name) for name in others}
    if flags.save:
        record.record(
            "echo",
            found,
            unit="calls/s",
            title=f"A tiny model, unary Predict, {CALLERS} callers in another process",
            ratios=ratios,
        )


if __name__ == "__main__":
    main()
