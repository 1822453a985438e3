"""One version on disk -> a session that runs its signatures the way TF Serving does.

`tf.saved_model.load` would give Python functions that check shapes and names; TF Serving feeds
and fetches graph tensors by name, so a [1] array may enter an input declared [-1, 1], and only
what the wanted outputs need is computed. Both follow from running a session on the graph.
"""

import contextlib
import gc
import glob
import importlib.util
import logging
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
from serving.server.errors import Code, ServingError

Array = np.ndarray[Any, Any]
log = logging.getLogger(__name__)

GRAPH_FILE, TEXT_FILE = "saved_model.pb", "saved_model.pbtxt"
# gRPC tells of a call without a deadline that three hundred thousand million years are left.
MAX_TIMEOUT_SECONDS = 1e9
# To give a run to TensorFlow's threads, and to wait for it there, takes longer than a tiny model.
QUICK_SECONDS = 0.001
# What may be quick once and then go on, or wait, for ever.
LOOPS = {"While", "StatelessWhile", "Enter", "RefEnter"}
WAITS = {
    *("QueueDequeueV2", "QueueDequeueManyV2", "QueueDequeueUpToV2"),
    *("QueueEnqueueV2", "QueueEnqueueManyV2", "Stage", "Unstage", "IteratorGetNext"),
    *("PyFunc", "PyFuncStateless", "EagerPyFunc"),
}
HERE = pywrap_tf_session.TF_NewBufferFromString(
    tf.compat.v1.RunOptions(inter_op_thread_pool=-1).SerializeToString()
)


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
    _quick: dict[tuple[str, ...], int] = field(default_factory=dict)  # see `_run`

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
        """
        rows = {name: value for name, value in feeds.items() if name not in constant}
        if self.batching is None or rows_of(rows) is None:
            return self._run(feeds, fetches, timeout_seconds)
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

        `_quick` has the largest number of values for which that was so, and nothing of fetches
        whose last run was slow, nor of a graph that is not bounded.
        """
        key, size = tuple(info.name for info in fetches), sum(v.size for v in feeds.values())
        quick = self._quick.get(key, -1)
        began = time.perf_counter()
        try:
            with _options(timeout_seconds, here=size <= quick) as options:
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
        if not self.is_bounded or time.perf_counter() - began > QUICK_SECONDS:
            self._quick.pop(key, None)
        elif size > quick:
            self._quick[key] = size
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
def _options(timeout_seconds: float | None, *, here: bool) -> Iterator[Any]:
    """How the session runs, as TensorFlow has it."""
    if here:
        yield HERE
    elif timeout_seconds is None or timeout_seconds >= MAX_TIMEOUT_SECONDS:
        yield None
    else:
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
