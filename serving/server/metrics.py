"""What the server counts, in the text format of Prometheus and under TF Serving's names.

A name such as /tensorflow/serving/request_count has its slashes as colons. Beside TF Serving's
labels there is `signature`. Times are microseconds. See decision 0036 for why no library
writes this page.
"""

import itertools
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

from serving.server.batching import Batch
from serving.server.declared import declare
from serving.server.errors import Code, invalid_argument
from serving.server.model_config import read_text_message

DEFAULT_PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_SERIES = 1000  # of one name; callers choose labels, and must not fill the memory
OTHER = "other"
LATENCY_LIMITS = tuple(10 * 1.8**power for power in range(33))  # to about 20 minutes
QUEUING_LIMITS = tuple(100 * 1.2**power for power in range(52))  # to about one second
EXAMPLE_LIMITS = tuple(2.0**power for power in range(15))

Labels = tuple[str, ...]


class _Metric:
    """One name and the values of its label sets."""

    kind = ""

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self.name = ":tensorflow:serving:" + name
        self.labels = tuple(labels)
        self._lock = threading.Lock()
        self._cells: dict[Labels, list[float]] = {}

    def _cell(self, labels: Labels) -> list[float]:
        """The values of a label set; called with the lock held."""
        cell = self._cells.get(labels)
        if cell is None:
            if len(self._cells) >= MAX_SERIES:
                labels = (OTHER,) * len(labels)
            cell = self._cells.setdefault(labels, self._new())
        return cell

    def _new(self) -> list[float]:
        raise NotImplementedError

    def _write(self, labels: str, cell: list[float]) -> Iterator[str]:
        raise NotImplementedError

    def lines(self) -> Iterator[str]:
        """The page's lines for this name; none while nothing has been counted."""
        with self._lock:
            cells = {labels: list(cell) for labels, cell in sorted(self._cells.items())}
        if cells:
            yield f"# TYPE {self.name} {self.kind}"
        for labels, cell in cells.items():
            pairs = zip(self.labels, labels, strict=True)
            yield from self._write(",".join(f'{k}="{_escaped(v)}"' for k, v in pairs), cell)


class Counter(_Metric):
    """A number that only grows."""

    kind = "counter"

    def add(self, labels: Labels, number: float = 1) -> None:
        """Count `number` more."""
        with self._lock:
            self._cell(labels)[0] += number

    def total(self) -> int:
        """Over all labels."""
        with self._lock:
            return int(sum(cell[0] for cell in self._cells.values()))

    def _new(self) -> list[float]:
        return [0]

    def _write(self, labels: str, cell: list[float]) -> Iterator[str]:
        yield (
            f"{self.name}{{{labels}}} {cell[0]:g}"
            if cell[0] < 1e6
            else (f"{self.name}{{{labels}}} {int(cell[0])}")
        )


class Histogram(_Metric):
    """How many values were at most each of `limits`, and their sum."""

    kind = "histogram"

    def __init__(self, name: str, labels: Sequence[str], limits: Sequence[float]) -> None:
        super().__init__(name, labels)
        self._limits = tuple(limits)
        self._shown = [*(f"{limit:.6g}" for limit in limits), "+Inf"]

    def add(self, labels: Labels, value: float) -> None:
        """Count one value."""
        place = bisect_left(self._limits, value)
        with self._lock:
            cell = self._cell(labels)
            cell[place] += 1
            cell[-1] += value

    def _new(self) -> list[float]:
        return [0] * (len(self._limits) + 2)  # one beyond the last limit, and the sum

    def _write(self, labels: str, cell: list[float]) -> Iterator[str]:
        comma = "," if labels else ""
        counts = list(itertools.accumulate(int(count) for count in cell[:-1]))
        for limit, count in zip(self._shown, counts, strict=True):
            yield f'{self.name}_bucket{{{labels}{comma}le="{limit}"}} {count}'
        yield f"{self.name}_sum{{{labels}}} {cell[-1]:.15g}"
        yield f"{self.name}_count{{{labels}}} {counts[-1]}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Metrics:
    """Everything that is counted; safe to call from many threads."""

    def __init__(self) -> None:
        self._requests = Counter("request_count", ["model_name", "status", "signature"])
        self._latency = Histogram(
            "request_latency", ["model_name", "API", "entrypoint", "signature"], LATENCY_LIMITS
        )
        self._runs = Histogram(
            "runtime_latency", ["model_name", "API", "runtime", "signature"], LATENCY_LIMITS
        )
        self._examples = Histogram("request_example_counts", ["model"], EXAMPLE_LIMITS)
        self._example_total = Counter("request_example_count_total", ["model"])
        self._dropped = Counter("request_log_dropped_total", ["model_name"])
        self._warmups = Histogram("model_warmup_latency", ["model_path", "status"], LATENCY_LIMITS)
        of_batches = "batching_session:"
        self._queuing = Histogram(
            of_batches + "queuing_latency", ["thread_pool_name"], QUEUING_LIMITS
        )
        self._batch_runs = Counter(of_batches + "wrapped_run_count", [])
        self._given = Histogram(of_batches + "input_batch_size", [], EXAMPLE_LIMITS)
        self._processed = Histogram(of_batches + "processed_batch_size", [], EXAMPLE_LIMITS)
        self._padding = Histogram(
            of_batches + "padding_size", ["execution_batch_size"], EXAMPLE_LIMITS
        )

    def request(self, model: str, signature: str, code: Code) -> None:
        """One request has been answered, well or not."""
        self._requests.add((model, code.name, signature))

    def latency(
        self, model: str, signature: str, *, api: str, entrypoint: str, seconds: float
    ) -> None:
        """How long a request took in all that succeeded."""
        self._latency.add((model, api, entrypoint, signature), seconds * 1e6)

    def run(self, model: str, api: str, signature: str, seconds: float) -> None:
        """How long the graph took of it."""
        self._runs.add((model, api, "TF1", signature), seconds * 1e6)

    def examples(self, model: str, number: int) -> None:
        """How many tf.Examples a request held."""
        self._examples.add((model,), number)
        self._example_total.add((model,), number)

    def dropped(self, model: str) -> None:
        """A request that should have been logged was not, for the disk is too slow."""
        self._dropped.add((model,))

    def warmup(self, path: str, code: Code, seconds: float) -> None:
        """The recorded requests of the version in a folder have been replayed, well or not."""
        self._warmups.add((path, code.name), seconds * 1e6)

    def batch(self, pool: str, batch: Batch) -> None:
        """Requests have shared a run, on the threads of this name."""
        for seconds, rows in zip(batch.waited, batch.rows, strict=True):
            self._queuing.add((pool,), seconds * 1e6)
            self._given.add((), rows)
        self._batch_runs.add(())
        self._processed.add((), batch.size)
        self._padding.add((str(batch.size),), batch.size - sum(batch.rows))

    def total(self, name: str) -> int:
        """A counter by TF Serving's name for it, with slashes, over all its labels.

        0 for names that nothing is counted under, and for those of times and sizes, as there.
        """
        wanted = name.removeprefix("/").replace("/", ":")
        for metric in vars(self).values():
            if metric.name == f":{wanted}" and isinstance(metric, Counter):
                return metric.total()
        return 0

    def page(self) -> bytes:
        """The page that Prometheus reads."""
        lines = [line for metric in vars(self).values() for line in metric.lines()]
        return "\n".join([*lines, ""]).encode("utf-8", "replace")


MonitoringConfig = declare(
    "MonitoringConfig", {"prometheus_config": {"enable": "bool", "path": "string"}}
)


def read_path(file: Path) -> str | None:
    """The page's path by a text MonitoringConfig; None where it is not enabled.

    Raises:
        ServingError: INVALID_ARGUMENT if the file is damaged or the path is no path.
    """
    config = MonitoringConfig()
    read_text_message(file, config)
    if not config.prometheus_config.enable:
        return None
    path: str = config.prometheus_config.path or DEFAULT_PATH
    if not path.startswith("/") or path.lower().startswith("/v1/") or set(path) & set("{}?# "):
        raise invalid_argument(f"{file}: {path!r} is no path for metrics, such as {DEFAULT_PATH}")
    return path
