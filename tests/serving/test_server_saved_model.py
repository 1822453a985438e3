"""A SavedModel run session-style."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from serving.server import prediction, saved_model
from serving.server.batching import Batching, Parameters, Scheduler
from serving.server.errors import Code, ServingError


@pytest.fixture(scope="module")
def model(version_folder):
    loaded = saved_model.load(version_folder)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def graph_model(tmp_path_factory):
    """Two independent outputs in one plain graph; `broken` always fails."""
    path = tmp_path_factory.mktemp("graph") / "model"
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        outputs = {"fine": x + 1, "broken": tf.reshape(x, [-1, 1000])}
        tf.compat.v1.saved_model.simple_save(session, str(path), {"x": x}, outputs)
    loaded = saved_model.load(path)
    yield loaded
    loaded.close()


def run(model, signature, outputs, timeout_seconds=None, **inputs):
    definition = model.signatures[signature]
    feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
    fetches = [definition.outputs[name] for name in outputs]
    return model.run(feeds, fetches, timeout_seconds=timeout_seconds)


def test_outputs_come_in_the_order_asked_for(model):
    x = np.float32([[2]])
    double, y = run(model, "serving_default", ["double", "y"], x=x)
    assert (double.tolist(), y.tolist()) == ([[4.0]], [[3.0]])


def test_only_what_the_outputs_need_is_computed(graph_model):
    x = np.zeros(3, np.float32)
    (fine,) = run(graph_model, "serving_default", ["fine"], x=x)
    assert fine.tolist() == [1, 1, 1]
    with pytest.raises(ServingError) as caught:
        run(graph_model, "serving_default", ["fine", "broken"], x=x)
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_scalars_come_back_as_arrays(model):
    (n,) = run(model, "count", ["n"], n=np.int32(3))
    assert isinstance(n, np.ndarray) and n.shape == () and n.dtype == np.int32
    (text,) = run(model, "upper", ["raw_bytes"], text=np.array(b"a\0", object))
    assert text.dtype == object and text[()] == b"a\0"


def test_a_timeout_stops_the_graph(model):
    """Even if the same outputs have been quick before."""
    run(model, "count", ["n"], n=np.int32(3))
    started = time.monotonic()
    with pytest.raises(ServingError) as caught:
        run(model, "count", ["n"], timeout_seconds=0.1, n=np.int32(2**31 - 1))
    assert caught.value.code == Code.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 20


def test_what_was_quick_runs_in_the_callers_thread(graph_model, monkeypatch):
    """As long as it is quick, and for no more values than were quick before."""
    ask, seen = graph_model._session._call_tf_sessionrun, []

    def asked(options, *words):
        seen.append(options is saved_model.IN_THIS_THREAD.enter_result)
        return ask(options, *words)

    monkeypatch.setattr(graph_model._session, "_call_tf_sessionrun", asked)
    monkeypatch.setattr(saved_model, "QUICK_SECONDS", 60.0)
    graph_model._paces.clear()
    for size in (2, 2, 1, 3, 3):
        (fine,) = run(graph_model, "serving_default", ["fine"], x=np.zeros(size, np.float32))
        assert fine.tolist() == [1] * size
    assert seen == [False, True, True, False, True]
    monkeypatch.setattr(saved_model, "QUICK_SECONDS", -1.0)
    for _ in range(2):
        run(graph_model, "serving_default", ["fine"], x=np.zeros(2, np.float32))
    assert seen[5:] == [True, False]


def test_what_may_go_on_for_ever_is_left_to_tensorflow(model, monkeypatch):
    monkeypatch.setattr(saved_model, "QUICK_SECONDS", 60.0)
    for _ in range(2):
        run(model, "serving_default", ["y"], x=np.float32([[2]]))
    assert all(not pace.is_quick(0) for pace in model._paces.values())


def test_only_known_operations_loop_or_wait(model, graph_model):
    for name in saved_model.LOOPS | saved_model.WAITS:
        assert name in tf.raw_ops.__dict__, name
    assert graph_model.is_bounded and not model.is_bounded


def test_a_tensor_that_the_graph_lacks_is_named(model):
    with pytest.raises(ServingError, match="no tensor named 'nowhere:0'"):
        model.run({"nowhere:0": np.float32(1)}, [])


@pytest.mark.parametrize("content", [None, b"", b"\xff\xff\xff"])
def test_what_is_no_saved_model_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ServingError) as caught:
        saved_model.load(tmp_path)
    assert str(tmp_path) in caught.value.message


def test_missing_variables_are_refused(tmp_path, version_folder):
    content = (version_folder / "saved_model.pb").read_bytes()
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ServingError):
        saved_model.load(tmp_path)


def test_unknown_tags_are_refused(version_folder):
    with pytest.raises(ServingError) as caught:
        saved_model.load(version_folder, tags=["serve", "gpu"])
    assert caught.value.code == Code.NOT_FOUND
    assert caught.value.message == (
        "Could not find meta graph def matching supplied tags: { gpu serve }. "
        f"{version_folder} has: {{ serve }}"
    )


def test_unknown_operations_are_named(tmp_path, version_folder):
    content = (version_folder / "saved_model.pb").read_bytes()
    (tmp_path / "saved_model.pb").write_bytes(content.replace(b"StringUpper", b"StringUqqer"))
    with pytest.raises(ServingError, match=r"operations not known .*: StringUqqer"):
        saved_model.load(tmp_path)


def test_requests_in_company_get_what_they_get_alone(version_folder, model):
    """Rows, strings, defaults, and a request that the graph refuses, all at once."""
    scheduler = Scheduler(1)
    parameters = Parameters(batch_timeout_micros=10**9, max_batch_size=8)
    batching = Batching(scheduler=scheduler, parameters=parameters)
    together = saved_model.load(version_folder, batching=batching)
    asked = [
        *(("serving_default", {"x": np.float32([[i]] * rows)}) for i, rows in ((1, 2), (2, 6))),
        *(("upper", {"text": np.array([text] * 4, object)}) for text in (b"ab", b"c")),
        *(("check", {"x": np.float32([x] * 4)}) for x in (3, -1)),
        *(("defaulted", {"count": np.int32([i] * 4)}) for i in (5, 6)),
        ("defaulted", {"count": np.int32([7, 8]), "scale": np.float32([2])}),
        ("count", {"n": np.int32(3)}),
    ]
    with ThreadPoolExecutor(len(asked)) as pool:  # every batch is full, so none waits
        answers = [pool.submit(prediction.predict, together, *words) for words in asked]
    for words, answer in zip(asked, answers, strict=True):
        try:
            alone = prediction.predict(model, *words)
        except ServingError as error:
            assert isinstance(answer.exception(), ServingError)
            assert answer.exception().code == error.code
            continue
        for name, value in alone.items():
            np.testing.assert_array_equal(answer.result()[name], value)
    together.close()
    scheduler.close()


def physical_megabytes():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


def test_the_memory_of_a_closed_model_is_there_for_the_next(tmp_path):
    module = tf.Module()
    weights = module.weights = [tf.Variable(tf.zeros([1000, 10_000])) for _ in range(3)]
    module.total = tf.function(
        lambda x: {"y": tf.add_n([tf.reduce_sum(weight) for weight in weights]) + x},
        input_signature=[tf.TensorSpec([], tf.float32)],
        autograph=False,
    )
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"total": module.total})
    after = []
    for _ in range(4):
        loaded = saved_model.load(tmp_path / "1")  # 120 MB
        (y,) = run(loaded, "total", ["y"], x=np.float32(1))
        assert y == 1
        loaded.close()
        after.append(physical_megabytes())
    assert after[-1] < after[0] + 60, after


def test_the_session_is_configured(version_folder):
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1)
    loaded = saved_model.load(version_folder, session_config=config)
    assert loaded._session._config.intra_op_parallelism_threads == 1
    (n,) = run(loaded, "count", ["n"], n=np.int32(3))
    assert n == 3
    loaded.close()


def test_a_graph_may_be_text(tmp_path):
    path = tmp_path / "1"
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        x = tf.compat.v1.placeholder(tf.float32, [None])
        inputs, outputs = {"x": x}, {"y": x + 1}
        infos = [
            {name: tf.compat.v1.saved_model.build_tensor_info(t) for name, t in side.items()}
            for side in (inputs, outputs)
        ]
        signature = tf.compat.v1.saved_model.build_signature_def(*infos, "tensorflow/serving/x")
        builder = tf.compat.v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save(as_text=True)
    assert [file.name for file in path.glob("saved_model*")] == ["saved_model.pbtxt"]
    loaded = saved_model.load(path)
    (y,) = run(loaded, "serving_default", ["y"], x=np.float32([1]))
    assert y.tolist() == [2.0]
    loaded.close()
    (path / "saved_model.pbtxt").write_text("nonsense")
    with pytest.raises(ServingError, match="cannot read .*saved_model.pbtxt"):
        saved_model.load(path)
