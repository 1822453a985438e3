"""Many models: none waits for another, and a new configuration replaces the old one."""

import threading

import pytest

from serving.server.attempts import Policy
from serving.server.errors import Code, ServingError
from serving.server.model_config import ModelConfig
from serving.server.models import Models
from serving.server.versions import VersionPolicy


class Model:
    def __init__(self, path):
        self.path = path
        self.closed = threading.Event()

    def close(self):
        self.closed.set()


def load(name, path):
    if (path / "bad").exists():
        raise ServingError(Code.DATA_LOSS, "bad file")
    return Model(path)


@pytest.fixture
def make():
    made = []

    def make(load=load, **options):
        policy = Policy(poll_seconds=0.01, retries=0, retry_seconds=0)
        made.append(Models(load, policy=policy, **options))
        return made[-1]

    yield make
    for models in made:
        models.close()


@pytest.fixture
def add(tmp_path):
    def add(name, *versions, bad=False):
        """The configuration of a model with these versions."""
        base = tmp_path / name
        base.mkdir(exist_ok=True)
        for version in versions:
            staged = tmp_path / "staged"
            staged.mkdir()
            if bad:
                (staged / "bad").touch()
            staged.rename(base / str(version))
        return ModelConfig(name=name, base_path=base)

    return add


def serve(models, *configs):
    models.start(configs)
    while not (models.can_serve() or models.is_hopeless()):
        assert models.changed.wait(10)
        models.changed.clear()
    return models


def test_a_bad_model_and_a_missing_folder_hold_up_no_other(make, add, tmp_path):
    missing = ModelConfig(name="missing", base_path=tmp_path / "nowhere")
    models = serve(make(), add("a", 1), add("b", 1, bad=True), missing)
    assert models.can_serve()
    assert models["a"].latest() == 1
    assert sorted(models) == ["a", "b", "missing"]
    assert models["b"].statuses()[0].code == Code.DATA_LOSS
    assert not models["missing"].settled.is_set()


def test_it_is_told_when_nothing_can_be_served(make, add):
    models = serve(make(), add("a", 1, bad=True), add("b", 1, bad=True))
    assert models.is_hopeless()
    assert models.unavailable(list(models)).message == (
        "2 servable(s) did not become available: "
        "{{{name: a version: 1} due to error: DATA_LOSS: bad file}, "
        "{{name: b version: 1} due to error: DATA_LOSS: bad file}}"
    )


def test_a_new_configuration_replaces_the_old_one(make, add):
    models = serve(make(), add("a", 1), add("b", 1))
    with models["a"].lease() as (_, model):
        models.reload([add("b", 1 + 1), add("c", 5)])
        assert sorted(models) == ["b", "c"]
        assert models["c"].latest() == 5
        assert not model.closed.is_set()  # its last request is still running
    assert model.closed.wait(10)


def test_a_reload_waits_for_new_models_and_says_which_fail(make, add):
    started, go_on = threading.Event(), threading.Event()

    def slow(name, path):
        if name == "slow":
            started.set()
            go_on.wait(10)
        return load(name, path)

    models = serve(make(slow), add("a", 1))
    thread = threading.Thread(target=models.reload, args=([add("a"), add("slow", 1)],))
    thread.start()
    assert started.wait(10)
    assert thread.is_alive()
    assert models["a"].latest() == 1  # goes on meanwhile
    go_on.set()
    thread.join(10)
    assert models["slow"].latest() == 1
    with pytest.raises(ServingError) as caught:
        models.reload([add("a"), add("broken", 3, bad=True)])
    assert caught.value.code == Code.UNKNOWN
    assert caught.value.message == (
        "1 model(s) did not become available: "
        "{{{name: broken version: 3} due to error: DATA_LOSS: bad file}}"
    )


def test_the_caller_or_a_newer_configuration_ends_a_wait(make, add, tmp_path):
    models = serve(make(), add("a", 1))
    missing = ModelConfig(name="missing", base_path=tmp_path / "nowhere")
    with pytest.raises(ServingError) as caught:
        models.reload([missing], is_cancelled=lambda: True)
    assert caught.value.code == Code.CANCELLED
    later = ModelConfig(name="later", base_path=tmp_path / "nowhere")
    waiting, refusals = threading.Event(), []

    def is_cancelled():
        waiting.set()
        return False

    def wait():
        try:
            models.reload([later], is_cancelled=is_cancelled)
        except ServingError as error:
            refusals.append(error.code)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(10)
    models.reload([add("a")])
    thread.join(10)
    assert refusals == [Code.ABORTED]
    assert models["a"].latest() == 1


def test_a_server_that_stops_ends_all_waits(make, add, tmp_path):
    models = serve(make(), add("a", 1))
    models.drain()
    with pytest.raises(ServingError) as caught:
        models.reload([add("a"), ModelConfig(name="missing", base_path=tmp_path / "nowhere")])
    assert caught.value.code == Code.UNAVAILABLE
    assert models["a"].latest() == 1


def test_a_refused_configuration_changes_nothing(make, add):
    models = serve(make(), add("a", 1))
    with pytest.raises(ServingError, match="multiple times"):
        models.reload([add("b", 1), add("b")])
    assert list(models) == ["a"]


def labelled(config, versions=VersionPolicy(latest=None), **labels):  # noqa: B008
    return ModelConfig(
        name=config.name, base_path=config.base_path, versions=versions, labels=labels
    )


def test_labels_hold_from_the_start_and_move_to_what_is_available(make, add):
    a = add("a", 1)
    models = serve(make(), labelled(a, stable=1, next=2))
    assert models["a"].labels == {"stable": 1, "next": 2}
    add("a", 2)
    moved = labelled(a, VersionPolicy(specific=frozenset({1, 2})), stable=2)
    models.reload([moved])
    with models["a"].lease(label="stable") as (version, _):
        assert version == 2


def test_a_label_is_not_moved_to_what_is_not_available(make, add):
    a = add("a", 1)
    models = serve(make(), labelled(a, stable=1))
    with pytest.raises(ServingError) as caught:
        models.reload([labelled(a, stable=1, canary=7)])
    assert caught.value.code == Code.FAILED_PRECONDITION
    assert caught.value.message == (
        "Request to assign label to version 7 of model a, "
        "which is not currently available for inference"
    )
    assert models["a"].labels == {"stable": 1}


def test_labels_move_although_another_model_is_missing(make, add, tmp_path):
    a = add("a", 1, 2)
    missing = ModelConfig(name="missing", base_path=tmp_path / "nowhere")
    models = serve(make(), labelled(a, stable=1))
    asked = []

    def is_cancelled():
        asked.append(dict(models["a"].labels))
        return True

    with pytest.raises(ServingError, match="does not wait any longer"):
        models.reload([missing, labelled(a, stable=2)], is_cancelled=is_cancelled)
    assert asked == [{"stable": 2}]
    models.reload([missing, labelled(a, stable=1)])  # it is not new any more: nobody waits
    assert models["a"].labels == {"stable": 1}


def test_new_labels_may_be_early_where_that_is_allowed(make, add):
    a = add("a", 1)
    models = serve(make(early_labels=True), labelled(a, stable=1))
    models.reload([labelled(a, stable=1, canary=7)])
    assert models["a"].labels == {"stable": 1, "canary": 7}
    with pytest.raises(ServingError, match="not currently available"):
        models.reload([labelled(a, stable=8)])


def test_no_more_models_are_loaded_at_once_than_allowed(make, add):
    now, most, lock = [0], [0], threading.Lock()
    both = threading.Barrier(2)

    def count(name, path):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        both.wait(10)  # two at a time, or this breaks
        with lock:
            now[0] -= 1
        return load(name, path)

    models = make(count, load_threads=2)
    serve(models, *[add(name, 1) for name in "abcd"])
    assert [models[name].latest() for name in "abcd"] == [1] * 4
    assert most[0] == 2
