"""One version on disk -> a session that runs its signatures the way TF Serving does.

`tf.saved_model.load` would give Python functions that check shapes and names; TF Serving feeds
and fetches graph tensors by name, so a [1] array may enter an input declared [-1, 1], and only
what the wanted outputs need is computed. Both follow from running a session on the graph.
"""

import contextlib
import dataclasses
import functools
import gc
import glob
import importlib.util
import logging
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.framework import op_def_registry

from serving.server import memory
from serving.server.batching import Batching, rows_of
from serving.server.errors import Code, NotAtOnce, ServingError

Array = np.ndarray[Any, Any]
log = logging.getLogger(__name__)

GRAPH_FILE, TEXT_FILE = "saved_model.pb", "saved_model.pbtxt"
# gRPC tells of a call without a deadline that three hundred thousand million years are left.
MAX_TIMEOUT_SECONDS = 1e9
# To give a run to TensorFlow's threads, and to wait for it there, takes longer than a tiny model.
QUICK_SECONDS = 0.001
# What takes less than to wake another thread, and has been quick for so many runs on end.
AT_ONCE_SECONDS, STEADY_RUNS = 0.0001, 100
# What may be quick once and then go on, or wait, for ever.
LOOPS = {"While", "StatelessWhile", "Enter", "RefEnter"}
WAITS = {
    *("QueueDequeueV2", "QueueDequeueManyV2", "QueueDequeueUpToV2"),
    *("QueueEnqueueV2", "QueueEnqueueManyV2", "Stage", "Unstage", "IteratorGetNext"),
    *("PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile"),
}
IN_THIS_THREAD = contextlib.nullcontext(
    pywrap_tf_session.TF_NewBufferFromString(
        tf.compat.v1.RunOptions(inter_op_thread_pool=-1).SerializeToString()
    )
)


@dataclass
class _Pace:
    """How long the runs of the same outputs have taken since the last slow one."""

    values: int = -1  # the most that one was given
    runs: int = 0  # with no more values than that
    seconds: float = math.inf  # of the quickest, lately

    def note(self, values: int, seconds: float) -> None:
        """A run has ended."""
        if seconds > QUICK_SECONDS:
            self.values, self.runs, self.seconds = -1, 0, math.inf
            return
        if values > self.values:
            self.values, self.runs = values, 0
        self.runs += 1
        self.seconds = min(seconds, 1.1 * self.seconds)

    def is_quick(self, values: int) -> bool:
        """Whether a run with so many values is likely to be."""
        return values <= self.values

    def is_steady(self, values: int) -> bool:
        """Whether others may wait for such a run."""
        is_short = self.seconds < AT_ONCE_SECONDS
        return is_short and self.runs >= STEADY_RUNS and self.is_quick(values)


@dataclass(frozen=True)
class LoadedModel:
    """A SavedModel in memory: its signatures and a session that evaluates them.

    `signatures` maps a name to a SignatureDef as stored in the SavedModel. Calls of `run` may
    come from many threads at once.
    """

    signatures: Mapping[str, Any]
    _session: Any
    batching: Batching | None = None
    is_bounded: bool = False  # none of its operations goes on, or waits, for ever
    _ends: dict[str, Any] = field(default_factory=dict)  # tensor name -> the session's handle
    _paces: dict[tuple[str, ...], _Pace] = field(default_factory=dict)  # by names of outputs
    only_at_once: bool = False  # refuse to run what others might have to wait for

    @functools.cached_property
    def at_once(self) -> "LoadedModel":
        """The same model, which raises NotAtOnce where a run may take its time."""
        return dataclasses.replace(self, only_at_once=True)

    def run(
        self,
        feeds: Mapping[str, Array],
        fetches: Sequence[Any],
        *,
        timeout_seconds: float | None = None,
        constant: Collection[str] = (),
    ) -> list[Array]:
        """Evaluate the TensorInfos `fetches` with the tensors named in `feeds` replaced.

        Strings are object arrays of `bytes`. Without a timeout the call may last for ever. Where
        there is batching, a call whose feeds have as many rows each shares a run with others.

        Args:
            constant: Feeds that are the same whenever they are named here, such as defaults; no
                rows of a batch.

        Raises:
            ServingError: with TensorFlow's own code and message when the graph refuses.
            NotAtOnce: see `at_once`.
        """
        rows = {name: value for name, value in feeds.items() if name not in constant}
        if self.batching is None or rows_of(rows) is None:
            return self._run(feeds, fetches, timeout_seconds)
        if self.only_at_once:
            raise NotAtOnce
        rest = {name: feeds[name] for name in constant}
        return self.batching.scheduler.submit(
            (id(self), tuple(info.name for info in fetches), frozenset(constant)),
            lambda batch, seconds: self._run({**batch, **rest}, fetches, seconds),
            rows,
            self.batching.parameters,
            timeout_seconds=timeout_seconds,
        )

    def _run(
        self, feeds: Mapping[str, Array], fetches: Sequence[Any], timeout_seconds: float | None
    ) -> list[Array]:
        """Runs here, and without a timeout, what was quick for feeds as large as these.

        A graph that is not bounded is never quick.
        """
        key, size = tuple(info.name for info in fetches), sum(v.size for v in feeds.values())
        pace = self._paces.setdefault(key, _Pace())
        if self.only_at_once and not pace.is_steady(size):
            raise NotAtOnce
        here = pace.is_quick(size)
        # In this thread what counts is its own work, however often others take the processor.
        clock = time.thread_time if here else time.perf_counter
        began = clock()
        try:
            with IN_THIS_THREAD if here else _options(timeout_seconds) as options:
                # The layer below Session.run: the same call into the runtime, per-call options
                # included, without Session.run's check of feeds against static shapes.
                values = self._session._call_tf_sessionrun(
                    options,
                    {self._end(name): value for name, value in feeds.items()},
                    [self._end(name) for name in key],
                    [],
                    None,
                )
        except tf.errors.OpError as error:
            raise ServingError(Code(error.error_code), error.message) from error
        pace.note(size, clock() - began if self.is_bounded else math.inf)
        return [_as_array(value, info.dtype) for value, info in zip(values, fetches, strict=True)]

    def _end(self, name: str) -> Any:
        end = self._ends.get(name)
        if end is None:
            try:
                end = self._session.graph.get_tensor_by_name(name)._as_tf_output()
            except (KeyError, ValueError) as error:
                raise ServingError(
                    Code.NOT_FOUND, f"the graph has no tensor named {name!r}"
                ) from error
            self._ends[name] = end
        return end

    def close(self) -> None:
        """Give the memory of variables and graph back; the model cannot be run afterwards."""
        self._session.close()
        self._ends.clear()
        gc.collect()  # graph, operations and session refer to each other
        memory.give_back()


@contextlib.contextmanager
def _options(timeout_seconds: float | None) -> Iterator[Any]:
    """How TensorFlow's threads are to run the session."""
    if timeout_seconds is None or timeout_seconds >= MAX_TIMEOUT_SECONDS:
        yield None
        return
    milliseconds = max(1, int(timeout_seconds * 1000))
    text = tf.compat.v1.RunOptions(timeout_in_ms=milliseconds).SerializeToString()
    options = pywrap_tf_session.TF_NewBufferFromString(text)
    try:
        yield options
    finally:
        pywrap_tf_session.TF_DeleteBuffer(options)


def _as_array(value: Any, dtype: int) -> Array:
    """The session returns bare scalars for rank 0; `bytes` must not become a padded S array."""
    if dtype == types_pb2.DT_STRING and not isinstance(value, np.ndarray):
        array = np.empty((), object)
        array[()] = value
        return array
    return np.asarray(value)


def find_devices() -> None:
    """Let TensorFlow look for accelerators now, rather than during the first load."""
    tf.config.list_physical_devices()


def load(
    path: Path,
    *,
    tags: Sequence[str] = ("serve",),
    session_config: Any = None,
    batching: Batching | None = None,
) -> LoadedModel:
    """Read the SavedModel in the folder `path` and restore its variables.

    `session_config` is a tensorflow.ConfigProto; what this process has set for its own functions
    does not count.

    Raises:
        ServingError: if the folder does not hold a complete SavedModel with these tags.
    """
    saved_model = _read(path)
    _check_tags(saved_model, tags, path)
    operations = _operations(saved_model)
    _register(operations)
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=session_config or tf.compat.v1.ConfigProto())
    try:
        with graph.as_default():
            meta_graph = tf.compat.v1.saved_model.load(session, list(tags), str(path))
        session._extend_graph()
    except tf.errors.OpError as error:
        session.close()
        raise ServingError(Code(error.error_code), error.message) from error
    except Exception as error:  # a damaged file can fail anywhere inside TensorFlow's loader
        session.close()
        raise ServingError(Code.INTERNAL, f"cannot load {path}: {error}") from error
    is_bounded = operations.isdisjoint(LOOPS | WAITS)
    return LoadedModel(dict(meta_graph.signature_def), session, batching, is_bounded)


def _read(path: Path) -> Any:
    """The folder's SavedModel message, binary or text."""
    saved_model = saved_model_pb2.SavedModel()
    binary, text = path / GRAPH_FILE, path / TEXT_FILE
    is_text = text.is_file() and not binary.is_file()
    try:
        if is_text:
            text_format.Parse(text.read_text(encoding="utf-8"), saved_model)
        else:
            saved_model.ParseFromString(binary.read_bytes())
    except Exception as error:
        file = text if is_text else binary
        raise ServingError(Code.DATA_LOSS, f"cannot read {file}: {error}") from error
    return saved_model


def _check_tags(saved_model: Any, tags: Sequence[str], path: Path) -> None:
    there = [set(meta_graph.meta_info_def.tags) for meta_graph in saved_model.meta_graphs]
    if set(tags) not in there:
        shown = "; ".join("{ " + " ".join(sorted(each)) + " }" for each in there) or "none"
        raise ServingError(
            Code.NOT_FOUND,
            "Could not find meta graph def matching supplied tags: "
            f"{{ {' '.join(sorted(tags))} }}. {path} has: {shown}",
        )


def _operations(saved_model: Any) -> set[str]:
    """The names of all operations of all graphs, in functions too."""
    names: set[str] = set()
    functions: set[str] = set()
    for meta_graph in saved_model.meta_graphs:
        names.update(node.op for node in meta_graph.graph_def.node)
        for function in meta_graph.graph_def.library.function:
            functions.add(function.signature.name)
            names.update(node.op for node in function.node_def)
    return names - functions


def _register(operations: Collection[str]) -> None:
    """Make tensorflow-text's operations known if this graph has any that TensorFlow lacks."""
    unknown = sorted(n for n in operations if op_def_registry.get(n) is None)
    if not unknown:
        return
    # The kernels alone: importing the package would bring a second Keras into the process.
    package = importlib.util.find_spec("tensorflow_text")
    for folder in (package and package.submodule_search_locations) or ():
        for library in sorted(glob.glob(f"{folder}/python/ops/*.so")):
            tf.load_op_library(library)
    missing = [name for name in unknown if op_def_registry.get(name) is None]
    if missing:
        raise ServingError(
            Code.NOT_FOUND,
            f"operations not known to TensorFlow or tensorflow-text: {', '.join(missing)}",
        )
    log.debug("tensorflow-text registered for %s", ", ".join(unknown))
