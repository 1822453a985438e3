"""Does the server survive what nobody should send?

    python -m benchmarks.malformed --requests=10000

Broken REST and gRPC requests and plain random bytes, all from one seed, go to both ports of one
server. It must neither crash nor hang; every answer must say whose fault it was, which 500,
INTERNAL and UNKNOWN do not; and its memory must stay what it was after the first tenth.
"""

import base64
import collections
import contextlib
import dataclasses
import gzip
import http.client
import json
import pathlib
import random
import re
import socket
import tempfile
import time
from collections.abc import Callable
from typing import Any

import grpc
import tyro

from benchmarks import record, servers

LIMIT_SECONDS = 20.0  # an answer later than this is a hang
SHARES = 10  # how often memory is looked at
METHODS = ("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata", "Nothing")
SERVICE = "/tensorflow.serving.PredictionService/"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Sends broken requests to a server of its own.

    Attributes:
        requests: How many.
        seed: Of all that is sent.
        save: Whether to write docs/results/malformed.json and .png.
    """

    requests: int = 10_000
    seed: int = 0
    save: bool = True


class Sender:
    """Draws requests and tells what came back: a port's name and a status.

    Args:
        most: Bytes of a request that the server reads, where it has been told; it may hang up on
            a caller who sends more.
    """

    def __init__(self, ports: servers.Ports, seed: int, *, most: int | None = None) -> None:
        self._most = most
        self._draw = random.Random(seed)
        self._ports = ports
        self._channel = grpc.insecure_channel(f"127.0.0.1:{ports.grpc}")

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def send(self) -> tuple[str, str]:
        """One request.

        Raises:
            OSError: if nobody listens, or no answer came in time.
        """
        kind = self._draw.choices(["rest", "grpc", "rest bytes", "grpc bytes"], [5, 3, 1, 1])[0]
        if kind == "rest":
            return "REST", self._rest()
        if kind == "grpc":
            return "gRPC", self._grpc()
        port = self._ports.rest if kind == "rest bytes" else self._ports.grpc
        return kind.replace("rest", "REST").replace("grpc", "gRPC"), self._raw(port)

    def _rest(self) -> str:
        draw = self._draw
        method = draw.choices(["POST", "GET", "PUT", "DELETE", "HEAD"], [9, 2, 1, 1, 1])[0]
        path = _path(draw)
        body = None if method in ("GET", "HEAD") else _body(draw)
        headers = {}
        if body is not None and draw.random() < 0.1:
            headers["Content-Encoding"] = "gzip"
            if draw.random() < 0.7:
                body = _damaged(draw, gzip.compress(body))
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._ports.rest, timeout=LIMIT_SECONDS
        )
        with contextlib.closing(connection):
            try:
                connection.request(method, path, body, headers)
                reply = connection.getresponse()
                text = reply.read()
            except ConnectionError:
                if self._most is None or len(body or b"") <= self._most:
                    raise
                return "hung up"
        if path.lower().startswith("/v1/") and method != "HEAD":
            try:
                value = json.loads(text)  # NaN and the like are in order here
            except ValueError:
                raise AssertionError(f"{method} {path}: {reply.status} {text!r}") from None
            assert reply.status == 200 or list(value) == ["error"], text
        return str(reply.status)

    def _grpc(self) -> str:
        method = SERVICE + self._draw.choice(METHODS)
        if self._draw.random() < 0.1:
            method = "/tensorflow.serving.ModelService/GetModelStatus"
        call = self._channel.unary_unary(method, bytes, bytes)
        try:
            call(_message(self._draw), timeout=LIMIT_SECONDS)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError(method) from error
            return str(error.code().name)
        return "OK"

    def _raw(self, port: int) -> str:
        """Bytes out of the blue; what the server says before it hangs up."""
        draw = self._draw
        text = draw.randbytes(draw.randrange(1, 3000))
        if draw.random() < 0.5:
            start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            if port == self._ports.rest:
                size = draw.choice([b"5", b"-1", b"99999999999999999999", b"x", b"3000"])
                start = b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: " + size
                start += draw.choice([b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n", b""])
            text = start + text
        with socket.create_connection(("127.0.0.1", port), LIMIT_SECONDS) as connection:
            answer = b""
            try:
                connection.sendall(text)
                connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(65536):
                    answer += part
            except ConnectionError:  # hung up before it had heard all
                pass
        status = re.match(rb"HTTP/1\.1 (\d{3})", answer)
        return status[1].decode() if status else "hung up"


def _path(draw: random.Random) -> str:
    name = draw.choice(["m", "m", "m", "none", "%00", "%zz", "a" * 2000, "..", "m%2f"])
    choice = draw.choice(["", "", "", "/versions/1", "/versions/9" + "9" * 30, "/labels/x", "/x"])
    what = draw.choice([":predict", ":predict", ":classify", ":regress", "/metadata", "", ":x"])
    path = f"/v1/models/{name}{choice}{what}"
    return draw.choice([path] * 8 + [path.upper(), path[: draw.randrange(1, len(path))]])


def _value(draw: random.Random, depth: int = 0) -> Any:
    leaves: list[Callable[[], Any]] = [
        lambda: draw.randrange(-3, 4),
        lambda: draw.choice([2**31, 2**63, 2**64, -(2**70), 10**400, 1e308, 1e-320]),
        lambda: draw.uniform(-1, 1),
        lambda: draw.choice([float("nan"), float("inf"), -float("inf")]),
        lambda: draw.choice([True, False, None, "", "x", "\ud800", "NaN", "a" * 5000]),
        lambda: {"b64": draw.choice(["", "AA==", "?", 5, base64.b64encode(b"x" * 99).decode()])},
    ]
    if depth > 4 or draw.random() < 0.45:
        return draw.choice(leaves)()
    width = draw.choice([0, 1, 1, 2, 2, 3, 300])
    if draw.random() < 0.8:
        if draw.random() < 0.5:
            return [_value(draw, depth + 2)] * width
        return [_value(draw, depth + (2 if width > 3 else 1)) for _ in range(min(width, 40))]
    keys = ("x", "y", "b64", "inputs", "")
    return {draw.choice(keys): _value(draw, depth + 1) for _ in range(min(width, 4))}


def _body(draw: random.Random) -> bytes:
    if draw.random() < 0.05:
        nested = draw.choice([10, 1000, 100_000])
        return b'{"instances": ' + b"[" * nested + b"]" * draw.choice([nested, 0]) + b"}"
    fields = {draw.choice(["instances", "inputs", "examples", "context"]): _value(draw)}
    if draw.random() < 0.3:  # in order, if nothing happens to it below
        fields = {draw.choice(["instances", "inputs"]): [[0.5]] * draw.choice([1, 2, 500])}
    if draw.random() < 0.3:
        fields["signature_name"] = draw.choice(["serving_default", "text", "no", 1, None])
    if draw.random() < 0.2:
        fields[draw.choice(["instances", "inputs", "examples"])] = _value(draw)
    text = json.dumps(fields).encode("utf-8", "surrogatepass")
    return _damaged(draw, text) if draw.random() < 0.3 else text


def _damaged(draw: random.Random, text: bytes) -> bytes:
    """Cut, doubled, or with some bytes changed."""
    if draw.random() < 0.3:
        return text[: draw.randrange(len(text) + 1)]
    damaged = bytearray(text)
    for _ in range(draw.choice([1, 1, 3, 30])):
        if damaged:
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    return bytes(damaged) * draw.choice([1, 1, 1, 2])


def _message(draw: random.Random) -> bytes:
    """A PredictRequest or kin, more or less."""
    from tensorflow_serving.apis import predict_pb2

    if draw.random() < 0.15:
        return draw.randbytes(draw.randrange(0, 300))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = draw.choice(["m", "m", "m", "", "none"])
    request.model_spec.signature_name = draw.choice(["", "", "text", "no"])
    if draw.random() < 0.2:
        request.model_spec.version.value = draw.choice([1, -1, 2**62])
    for name in draw.choice([["x"], ["x"], ["x", "y"], [], ["text"]]):
        tensor = request.inputs[name]
        tensor.dtype = draw.choice([1, 1, 1, 7, 3, 14, 20, 21, 99])
        for _ in range(draw.randrange(0, 4)):
            tensor.tensor_shape.dim.add(size=draw.choice([-1, 0, 1, 2, 3, 2**40]))
        if draw.random() < 0.4:
            tensor.tensor_content = draw.randbytes(draw.choice([0, 3, 4, 8, 100]))
        tensor.float_val.extend(draw.choice([[], [1.0], [float("nan")] * 3]))
        tensor.string_val.extend(draw.choice([[], [b"\xff"]]))
        tensor.tensor_shape.unknown_rank = draw.random() < 0.1
    text: bytes = request.SerializeToString()
    return _damaged(draw, text) if draw.random() < 0.4 else text


def main() -> None:
    """Sends, counts, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.malformed")
    answers: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    memory, longest = [], 0.0
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place) / "m"
        servers.save_model(folder / "1")
        with servers.server(folder, servers.monitoring(folder)) as (process, ports):
            sender = Sender(ports, flags.seed)
            for number in range(flags.requests):
                began = time.perf_counter()
                port, status = sender.send()
                longest = max(longest, time.perf_counter() - began)
                answers[port][status] += 1
                if (number + 1) % max(1, flags.requests // SHARES) == 0:
                    memory.append(servers.memory_mib(process))
                    print(f"{number + 1} requests, {memory[-1]:.0f} MiB")
            sender.close()
    for port, counts in answers.items():
        print(port, dict(counts.most_common()))
        assert not counts.keys() & {"500", "INTERNAL", "UNKNOWN"}, "an answer blames the server"
    print(f"the longest answer took {longest:.2f} s; {memory[-1] - memory[0]:+.0f} MiB")
    if flags.save:
        values = {port: {s: [n] for s, n in c.most_common()} for port, c in answers.items()}
        record.record(
            "malformed",
            values,
            unit="requests",
            title=f"{flags.requests} malformed requests",
            seed=flags.seed,
            longest_seconds=longest,
            memory_mib=memory,
        )


if __name__ == "__main__":
    main()
