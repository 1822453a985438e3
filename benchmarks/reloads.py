"""Is anybody refused, or kept waiting, while the version that is served changes?

    python -m benchmarks.reloads --changes=20 --seconds=60

16 callers in another process ask a small model as fast as they can: first for a third of the
time with one version, then while a new version comes at equal intervals, each of which is loaded
and takes the place of the one before.
"""

import collections
import contextlib
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import tyro

from benchmarks import echo, record, servers

CALLERS = 16
LOAD_SECONDS = 60.0  # until a version that has come is served
QUIET, CHANGING = "one version", "versions change"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Changes versions under load.

    Attributes:
        changes: New versions.
        seconds: In which they come, at equal intervals.
        save: Whether to write docs/results/reloads.json and .png.
        worker: Used by the command itself.
        port: Used by the command itself.
    """

    changes: int = 20
    seconds: float = 60.0
    save: bool = True
    worker: str = ""
    port: int = 0


class Callers:
    """Threads that ask until they are told to stop; what they noted since they were last asked."""

    def __init__(self, port: int) -> None:
        self._call = echo.over_grpc(port)
        self._lock = threading.Lock()
        self._noted: list[tuple[float, str]] = []  # seconds, status
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._stop.is_set():
            began, status = time.perf_counter(), "OK"
            try:
                self._call()
            except grpc.RpcError as error:
                status = error.code().name
            with self._lock:
                self._noted.append((time.perf_counter() - began, status))

    def noted(self) -> dict[str, Any]:
        """How many calls ended how, and percentiles of their milliseconds."""
        with self._lock:
            noted, self._noted = self._noted, []
        milliseconds = [1e3 * seconds for seconds, _ in noted]
        p50, p99, p999, most = np.percentile(milliseconds, [50, 99, 99.9, 100]).tolist()
        statuses = collections.Counter(status for _, status in noted)
        return {"statuses": statuses, "p50": p50, "p99": p99, "p99.9": p999, "longest": most}

    def close(self) -> None:
        """Lets the last calls end."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def worker(port: int) -> None:
    """Answers each line on stdin with what was noted since the last one, until stdin ends."""
    callers = Callers(port)
    for _ in sys.stdin:
        print(json.dumps(callers.noted()), flush=True)
    callers.close()


@contextlib.contextmanager
def asking(port: int) -> Iterator["subprocess.Popen[str]"]:
    """The callers' process."""
    command = [sys.executable, "-m", "benchmarks.reloads", "--worker=callers", f"--port={port}"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=record.ROOT) as process:
        try:
            yield process
        finally:
            assert process.stdin
            process.stdin.close()
            process.wait(LOAD_SECONDS)


def noted(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What the callers have noted since this was asked last."""
    assert process.stdin and process.stdout
    print(file=process.stdin, flush=True)
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def change(folder: pathlib.Path, sources: list[pathlib.Path], flags: Flags, port: int) -> None:
    """Versions 2 and on, each at its time, each served before the next comes."""
    from serving.client import Client

    staged = folder.with_name("staged")
    began = time.monotonic()
    with Client(f"127.0.0.1:{port}") as client:
        for number in range(flags.changes):
            version = number + 2
            shutil.copytree(sources[number % len(sources)], staged)
            staged.rename(folder / str(version))
            end = time.monotonic() + LOAD_SECONDS
            while not any(
                s.version == version and s.state == "AVAILABLE" for s in client.status("m")
            ):
                assert time.monotonic() < end, client.status("m")
                time.sleep(0.05)
            due = began + (number + 1) * flags.seconds / flags.changes
            time.sleep(max(0.0, due - time.monotonic()))


def main() -> None:
    """Serves, asks, changes, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.reloads")
    if flags.worker:
        worker(flags.port)
        return
    found = {}
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place) / "m"
        sources = [pathlib.Path(place) / "a", pathlib.Path(place) / "b"]
        for offset, source in enumerate(sources):
            servers.save_model(source, float(offset))
        shutil.copytree(sources[0], folder / "1")
        with servers.server(folder) as (_, ports), asking(ports.grpc) as process:
            time.sleep(1.0)
            noted(process)  # what came before all of them asked is not counted
            time.sleep(flags.seconds / 3)
            found[QUIET] = noted(process)
            change(folder, sources, flags, ports.grpc)
            found[CHANGING] = noted(process)
    for name, facts in found.items():
        print(name, facts)
        assert set(facts["statuses"]) == {"OK"}, "somebody was refused"
    if flags.save:
        latencies = ("p50", "p99", "p99.9", "longest")
        record.record(
            "reloads",
            {name: {key: [facts[key]] for key in latencies} for name, facts in found.items()},
            unit="milliseconds",
            title=f"{flags.changes} version changes in {flags.seconds:g} s, {CALLERS} callers",
            answered={name: facts["statuses"] for name, facts in found.items()},
        )


if __name__ == "__main__":
    main()
