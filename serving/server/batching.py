"""Requests that wait for each other, so that one run of the graph answers several.

Requests that ask for the same outputs from inputs of the same kind stand in one queue, which cuts
them into batches; the threads of one scheduler run the batches of all queues. What goes wrong
for a batch is done again for each of its requests alone, so that only the one to blame is told.

Nothing here knows TensorFlow: `run` turns rows into rows.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serving.server.errors import Code, ServingError, invalid_argument

Array = np.ndarray[Any, Any]
Rows = Mapping[str, Array]
Run = Callable[[Rows, float | None], list[Array]]  # inputs, seconds -> outputs in a fixed order


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """TF Serving's batching parameters, with its defaults.

    Attributes:
        max_batch_size: Rows of a batch; of a request where large ones are split.
        batch_timeout_micros: How long a batch that is not full waits for more.
        max_enqueued_batches: Batches that wait in one queue; a request beyond is refused.
        num_batch_threads: Batches that run at once.
        allowed_batch_sizes: A batch is filled up to the next of these; empty is any size.
        pad_variable_length_inputs: Whether requests of unequal shapes go together, filled up
            with zeros; else each shape has a queue of its own.
        enable_large_batch_splitting: Whether a request may be cut over several batches.
        max_execution_batch_size: Rows of a batch where requests are cut; 0 is `max_batch_size`.
        thread_pool_name: By which the waits are counted.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0
    thread_pool_name: str = "batch_threads"

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise invalid_argument(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("batch_timeout_micros", "max_execution_batch_size"):
            if getattr(self, name) < 0:
                raise invalid_argument(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.max_execution_batch_size > self.max_batch_size:
            raise invalid_argument(
                f"max_execution_batch_size is {self.max_execution_batch_size}; it must be at most "
                f"max_batch_size, {self.max_batch_size}"
            )
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != self.most):
            raise invalid_argument(
                f"allowed_batch_sizes is {list(sizes)}; they must ascend from at least 1 to the "
                f"rows of the largest batch, {self.most}"
            )

    @property
    def most(self) -> int:
        """Rows of the largest batch that is run."""
        cut = self.enable_large_batch_splitting and self.max_execution_batch_size
        return cut or self.max_batch_size


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Requests that are about to share a run.

    Attributes:
        waited: Seconds of each.
        rows: Of each, or of the part of it that is in this batch.
        size: Rows that are run, those that only fill it up included.
    """

    waited: Sequence[float]
    rows: Sequence[int]
    size: int


@dataclass
class _Request:
    """What one caller waits for; the parts of it that are answered already."""

    inputs: Rows
    rows: int
    ends: float | None  # on the monotonic clock, as is `came`
    came: float = field(default_factory=time.monotonic)
    answer: "Future[list[Array]]" = field(default_factory=Future)
    parts: list[list[Array] | None] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def seconds_left(self) -> float | None:
        return None if self.ends is None else self.ends - time.monotonic()

    def refuse(self, error: Exception) -> None:
        """Tell the caller no, unless it has been told something."""
        with self.lock:
            if not self.answer.done():
                self.answer.set_exception(error)

    def refused(self) -> bool:
        """Whether the caller was told no already, or is now, because its time is over."""
        left = self.seconds_left()
        if left is not None and left <= 0:
            late = "Run() timeout exceeded while waiting in batching queue"
            self.refuse(ServingError(Code.RESOURCE_EXHAUSTED, late))
        return self.answer.done()

    def take(self, number: int, outputs: list[Array]) -> None:
        """Keep what came for one part; the last part to come answers the caller."""
        with self.lock:
            self.parts[number] = outputs
            whole = [part for part in self.parts if part is not None]
            if len(whole) < len(self.parts) or self.answer.done():
                return
            one = len(whole) == 1
            joined = whole[0] if one else [_joined(column) for column in zip(*whole, strict=True)]
            self.answer.set_result(joined)


@dataclass
class _Part:
    """Some rows of a request, in one batch."""

    request: _Request
    number: int
    first: int
    rows: int

    def inputs(self) -> Rows:
        chosen = slice(self.first, self.first + self.rows)
        return {name: value[chosen] for name, value in self.request.inputs.items()}


@dataclass
class _Batch:
    """Parts of requests; `due` is when it is run though it is not full."""

    due: float
    parts: list[_Part] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


@dataclass
class _Queue:
    """Batches of one kind that wait, the oldest first; the newest may take more."""

    run: Run
    parameters: Parameters
    batches: deque[_Batch] = field(default_factory=deque)


class Scheduler:
    """Threads that run the batches of all queues; safe to call from many threads.

    A queue is there as long as something waits in it, so that any number of kinds may come.
    `on_batch` is told the threads' name and the batch before each run.
    """

    def __init__(
        self, threads: int, *, on_batch: Callable[[str, Batch], None] | None = None
    ) -> None:
        self._on_batch = on_batch
        self._queues: dict[Hashable, _Queue] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{i}", daemon=True)
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Run what waits, then end the threads."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def submit(
        self,
        kind: Hashable,
        run: Run,
        inputs: Rows,
        parameters: Parameters,
        *,
        timeout_seconds: float | None = None,
    ) -> list[Array]:
        """The outputs for these rows, once a batch with them has been run.

        Args:
            kind: What may share a batch beside inputs' names, types and shapes; `run` and the
                parameters are the same for all of a kind.
            inputs: Some rows, as `rows_of` counts them.

        Raises:
            ServingError: INVALID_ARGUMENT for too many rows, UNAVAILABLE where the queue is full,
                RESOURCE_EXHAUSTED where the time was over before the batch was run, and what
                `run` raises.
        """
        rows, most = rows_of(inputs), parameters.max_batch_size
        if rows is None:
            raise ValueError("These inputs cannot share a batch.")
        if rows > most:
            raise invalid_argument(
                f"Task size {rows} is larger than maximum input batch size {most}"
            )
        ends = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        request = _Request(inputs=inputs, rows=rows, ends=ends)
        with self._changed:
            if self._stopped:
                raise ServingError(Code.UNAVAILABLE, "The batch scheduler has stopped.")
            key = kind, _shapes(inputs, padded=parameters.pad_variable_length_inputs)
            queue = self._queues.get(key) or _Queue(run, parameters)
            _enqueue(queue, request)
            self._queues[key] = queue
            self._changed.notify()
        return request.answer.result()

    def _work(self) -> None:
        while True:
            with self._changed:
                found = self._next()
                while found is None:
                    if self._stopped and not self._queues:
                        return
                    self._changed.wait(self._wait_seconds())
                    found = self._next()
                if self._queues:
                    self._changed.notify()  # another thread minds what is left
            _answer(*found, self._on_batch)

    def _next(self) -> tuple[_Queue, _Batch] | None:
        """The batch that is due for longest, taken from its queue; None where none is due."""
        now = time.monotonic()
        ready = [
            (queue.batches[0].due, key)
            for key, queue in self._queues.items()
            if self._stopped
            or len(queue.batches) > 1
            or queue.batches[0].due <= now
            or queue.batches[0].rows >= queue.parameters.most
        ]
        if not ready:
            return None
        _, key = min(ready, key=lambda pair: pair[0])
        queue = self._queues[key]
        batch = queue.batches.popleft()
        if not queue.batches:
            del self._queues[key]
        return queue, batch

    def _wait_seconds(self) -> float | None:
        if not self._queues:
            return None
        due = min(queue.batches[0].due for queue in self._queues.values())
        return max(due - time.monotonic(), 0)


def rows_of(inputs: Rows) -> int | None:
    """How many rows all inputs have; None where they cannot share a batch with others."""
    counts = {len(value) if value.ndim else 0 for value in inputs.values()}
    rows = counts.pop() if len(counts) == 1 else 0
    return rows or None


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How the requests of one model are put together, and by whom."""

    scheduler: Scheduler
    parameters: Parameters


def _shapes(inputs: Rows, *, padded: bool) -> Hashable:
    """What inputs that are put together have in common."""
    return tuple(
        (name, value.dtype.str, value.ndim if padded else value.shape[1:])
        for name, value in sorted(inputs.items())
    )


def _enqueue(queue: _Queue, request: _Request) -> None:
    """Put a request into the newest batch as far as it fits, and into new ones; or raise."""
    given = queue.parameters
    room = given.most - queue.batches[-1].rows if queue.batches else 0
    first = min(room, request.rows) if given.enable_large_batch_splitting else 0
    first = request.rows if room >= request.rows else first
    new = -(-(request.rows - first) // given.most)
    if len(queue.batches) + new > given.max_enqueued_batches:
        raise ServingError(
            Code.UNAVAILABLE,
            "The batch scheduling queue to which this task was submitted is full; currently "
            f"{len(queue.batches)} batches enqueued and max_enqueued_batches is "
            f"{given.max_enqueued_batches}",
        )
    due = time.monotonic() + given.batch_timeout_micros / 1e6
    taken = 0
    while taken < request.rows:
        if taken or not first:
            queue.batches.append(_Batch(due))
        rows = first if first and not taken else min(given.most, request.rows - taken)
        part = _Part(request, number=len(request.parts), first=taken, rows=rows)
        queue.batches[-1].parts.append(part)
        request.parts.append(None)
        taken += rows


def _joined(arrays: Sequence[Array], *, size: int = 0) -> Array:
    """Rows of all, dimensions filled up to the longest with zeros, and to `size` with the last."""
    shape = np.max([array.shape[1:] for array in arrays], axis=0).astype(int)
    filled = []
    for array in arrays:
        widths = [(0, most - n) for most, n in zip(shape, array.shape[1:], strict=True)]
        if any(after for _, after in widths):
            value = b"" if array.dtype == object else array.dtype.type(0)
            array = np.pad(array, [(0, 0), *widths], constant_values=value)
        filled.append(array)
    rows = sum(map(len, filled))
    if rows < size:
        filled.append(np.repeat(filled[-1][-1:], size - rows, axis=0))
    return np.concatenate(filled) if len(filled) > 1 else filled[0]


def _answer(queue: _Queue, batch: _Batch, on_batch: Callable[[str, Batch], None] | None) -> None:
    """Run a batch and hand out what came, or what went wrong."""
    parts = [part for part in batch.parts if not part.request.refused()]
    if not parts:
        return
    try:
        for part, answer in zip(parts, _run(queue, parts, on_batch), strict=True):
            part.request.take(part.number, answer)
    except Exception as error:
        if len(parts) == 1:
            parts[0].request.refuse(error)
            return
        for part in parts:  # one of them is to blame
            _answer(queue, _Batch(due=batch.due, parts=[part]), on_batch)


def _run(
    queue: _Queue, parts: Sequence[_Part], on_batch: Callable[[str, Batch], None] | None
) -> list[list[Array]]:
    """The outputs of each part, from one run of all."""
    rows = sum(part.rows for part in parts)
    size = min((s for s in queue.parameters.allowed_batch_sizes if s >= rows), default=rows)
    if on_batch:
        waited = [time.monotonic() - part.request.came for part in parts]
        about = Batch(waited=waited, rows=[part.rows for part in parts], size=size)
        on_batch(queue.parameters.thread_pool_name, about)
    given = [part.inputs() for part in parts]
    inputs = {name: _joined([part[name] for part in given], size=size) for name in given[0]}
    left = [part.request.seconds_left() for part in parts]
    seconds = None if None in left else max(s for s in left if s is not None)
    outputs = queue.run(inputs, seconds)
    if len(parts) == 1 and size == rows:
        return [outputs]
    if any(output.ndim == 0 or len(output) != size for output in outputs):
        raise ServingError(
            Code.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th "
            "dimension sizes of the input tensors",
        )
    ends = np.cumsum([part.rows for part in parts])
    return [
        [output[end - part.rows : end] for output in outputs]
        for part, end in zip(parts, ends, strict=True)
    ]
