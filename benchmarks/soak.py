"""Does the server stay what it was, however long it is asked?

    python -m benchmarks.soak --minutes=20

One server under mixed load: right requests over gRPC and REST, whose every answer is compared
with what it must be; broken requests of all kinds; versions that come and go; new configurations.
Every request must be answered, and memory must not grow by more than a twentieth once a tenth of
the time is over. What counts is the least of some seconds: what a large request needs while it is
answered is no growth. Requests of more than 16 MiB are refused (`--max_request_bytes`): without a
bound, as TensorFlow Serving has none, one JSON body of hundreds of megabytes keeps the others
waiting.
"""

import collections
import dataclasses
import http.client
import itertools
import json
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tyro

from benchmarks import malformed, record, servers

GROWTH = 0.05
LOOKS = 20  # at memory
SAMPLES = 12  # of a look, a second each: more than from one giving back to the next
MOST_BYTES = 2**24  # of a request
SECONDS = 60.0  # until a request is lost
IDLE_SECONDS = 2.0  # after which a connection is not asked again: at 5 the server hangs up
CHANGE_SECONDS = 3.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Asks for a long time.

    Attributes:
        minutes: How long.
        callers: Of gRPC and of REST each.
        save: Whether to write docs/results/soak.json and .png.
    """

    minutes: float = 20.0
    callers: int = 2
    save: bool = True


class Load:
    """Threads that each do one thing again and again; the first failure ends all of them."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def add(self, name: str, act: Callable[[int], None], *, pause: float = 0.0) -> None:
        """Calls `act` with 0, 1, 2 and so on, with so many seconds between."""

        def run() -> None:
            for number in itertools.count():
                if self._stop.is_set():
                    return
                try:
                    act(number)
                except BaseException as failure:
                    self._failures.append(failure)
                    self._stop.set()
                    return
                with self._lock:
                    self.counts[name] += 1
                self._stop.wait(pause)

        self._threads.append(threading.Thread(target=run, name=name))
        self._threads[-1].start()

    def wait(self, seconds: float) -> None:
        """Returns after that, or raises what has failed."""
        self._stop.wait(seconds)
        if self._failures:
            raise self._failures[0]

    def close(self) -> None:
        """Lets the last requests be answered."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]


def over_grpc(port: int) -> Callable[[int], None]:
    """Asks for values and text in turn, of sizes that vary."""
    from serving.client import Client

    client = Client(f"127.0.0.1:{port}")

    def ask(number: int) -> None:
        rows = 1 + number % 300
        if number % 2:
            x = np.full([rows, 1], number % 1000, np.float32)
            y = client.predict("m", {"x": x}, timeout_seconds=SECONDS)["y"]
            assert (y - x * 0.5 == 2).all(), y
        else:
            text = {"text": ["ab"] * rows}
            answer = client.predict("m", text, signature="text", timeout_seconds=SECONDS)
            assert answer["text"].tolist() == ["AB"] * rows, answer

    return ask


def over_rest(port: int) -> Callable[[int], None]:
    """The same by rows, on a connection that stays open for a while; what breaks off is lost."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    answered = time.monotonic()

    def ask(number: int) -> None:
        nonlocal answered
        rows = 1 + number % 300
        body = json.dumps({"instances": [[number % 1000]] * rows})
        # The last thing before it is asked: this machine may stand still in between.
        if number % 100 == 0 or time.monotonic() - answered > IDLE_SECONDS:
            connection.close()
        connection.request("POST", "/v1/models/m:predict", body)
        value = json.loads(connection.getresponse().read())
        answered = time.monotonic()
        assert value == {"predictions": [[number % 1000 * 0.5 + 2]] * rows}, value

    return ask


def malform(ports: servers.Ports) -> Callable[[int], None]:
    """What nobody should send; the answer must blame the caller."""
    sender = malformed.Sender(ports, seed=0, most=MOST_BYTES)

    def send(_: int) -> None:
        status = sender.send()[1]
        assert status not in {"500", "INTERNAL", "UNKNOWN"}, status

    return send


def change(folder: pathlib.Path, source: pathlib.Path, port: int) -> Callable[[int], None]:
    """A new version by rename and a new configuration in turn; old versions are deleted."""
    from serving.client import Client, ServedModel

    client = Client(f"127.0.0.1:{port}")
    staged = folder.with_name("staged")

    def act(number: int) -> None:
        if number % 4 == 3:
            model = ServedModel(name="m", base_path=str(folder), latest=1 + number // 4 % 2)
            client.reload([model], timeout_seconds=SECONDS)
            return
        versions = sorted(int(path.name) for path in folder.iterdir())
        shutil.copytree(source, staged)
        staged.rename(folder / str(versions[-1] + 1))
        for version in versions[:-3]:
            shutil.rmtree(folder / str(version))

    return act


def soak(
    folder: pathlib.Path, flags: Flags, process: "subprocess.Popen[str]", ports: servers.Ports
) -> tuple[dict[str, int], list[float]]:
    """How many of each were answered, and MiB at equal intervals."""
    load, memory = Load(), []
    try:
        for _ in range(flags.callers):
            load.add("gRPC", over_grpc(ports.grpc))
            load.add("REST", over_rest(ports.rest))
        load.add("malformed", malform(ports))
        source = folder.with_name("source")
        load.add("changes", change(folder, source, ports.grpc), pause=CHANGE_SECONDS)
        for _ in range(LOOKS):
            load.wait(max(0.0, flags.minutes * 60 / LOOKS - SAMPLES))
            least = float("inf")
            for _ in range(SAMPLES):
                load.wait(1.0)
                least = min(least, servers.memory_mib(process))
            memory.append(least)
            print(f"{dict(load.counts)}, {memory[-1]:.0f} MiB", flush=True)
    finally:
        load.close()
    return dict(load.counts), memory


def main() -> None:
    """Serves, asks, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.soak")
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place) / "m"
        servers.save_model(folder.with_name("source"))
        shutil.copytree(folder.with_name("source"), folder / "1")
        bounded = f"--max_request_bytes={MOST_BYTES}"
        with servers.server(folder, servers.monitoring(folder), bounded) as (process, ports):
            counts, memory = soak(folder, flags, process, ports)
    early = max(memory[: LOOKS // 10])
    growth = max(memory[-LOOKS // 10 :]) / early - 1
    print(f"{sum(counts.values())} requests, memory {100 * growth:+.1f} %")
    assert growth <= GROWTH, f"memory has grown by {100 * growth:.1f} %"
    if flags.save:
        facts: dict[str, Any] = {"memory_mib": memory, "growth": growth}
        record.record(
            "soak",
            {"answered": {name: [number] for name, number in sorted(counts.items())}},
            unit="requests",
            title=f"{flags.minutes:g} minutes of mixed load, none lost",
            **facts,
        )


if __name__ == "__main__":
    main()
