"""The life of versions, with models that are only names."""

import threading

import pytest

from serving.server.errors import Code, ServingError
from serving.server.repository import Policy, Repository, State, VersionStatus
from serving.server.versions import NEWEST, VersionPolicy, find_versions


class Model:
    def __init__(self, path):
        self.path = path
        self.closed = threading.Event()

    def close(self):
        self.closed.set()


class Loader:
    """Loads anything, except folders that hold a file called `bad`."""

    def __init__(self):
        self.loaded = []

    def __call__(self, path):
        self.loaded.append(int(path.name))
        if (path / "bad").exists():
            raise ServingError(Code.DATA_LOSS, "bad file")
        return Model(path)


def lacks(path):
    return "" if (path / "saved_model.pb").exists() else "saved_model.pb is not there"


@pytest.fixture
def loader():
    return Loader()


@pytest.fixture
def make(tmp_path, loader):
    made = []

    def make(versions=NEWEST, **policy):
        made.append(
            Repository(
                "m", tmp_path, loader, policy=Policy(**policy), versions=versions, lacks=lacks
            )
        )
        return made[-1]

    yield make
    for repository in made:
        repository.close()


def add(base, name, *, bad=False):
    folder = base / str(name)
    folder.mkdir()
    if bad:
        (folder / "bad").touch()
    (folder / "saved_model.pb").touch()
    return folder


def remove(folder):
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def states(repository):
    return {status.version: status.state.name for status in repository.statuses()}


def test_only_folders_with_integer_names_are_versions(tmp_path):
    for name in ("1", "00000123", "notes", "-4", "1.5", "9" * 30):
        add(tmp_path, name)
    (tmp_path / "7").touch()
    assert {number: path.name for number, path in find_versions(tmp_path).items()} == {
        1: "1",
        123: "00000123",
    }


def test_the_newest_version_is_served_and_older_ones_are_not_loaded(tmp_path, make, loader):
    add(tmp_path, 1), add(tmp_path, 12), add(tmp_path, 3)
    repository = make()
    repository.refresh()
    assert loader.loaded == [12]
    assert repository.settled.is_set()
    assert repository.statuses() == [VersionStatus(12, State.AVAILABLE)]
    with repository.lease() as (version, model):
        assert (version, model.path.name) == (12, "12")


def test_a_new_version_is_loaded_before_the_old_one_is_unloaded(tmp_path, loader):
    order = []

    def load(path):
        order.append(("load", path.name, states(repository)))
        return Model(path)

    repository = Repository("m", tmp_path, load, policy=Policy())
    add(tmp_path, 1)
    repository.refresh()
    add(tmp_path, 2)
    repository.refresh()
    assert order[1] == ("load", "2", {1: "AVAILABLE", 2: "LOADING"})
    assert states(repository) == {2: "AVAILABLE", 1: "END"}


def test_a_version_in_use_is_closed_by_its_last_user(tmp_path, make):
    add(tmp_path, 1)
    repository = make()
    repository.refresh()
    with repository.lease() as (_, model), repository.lease():
        add(tmp_path, 2)
        repository.refresh()
        assert states(repository) == {2: "AVAILABLE", 1: "UNLOADING"}
        assert not model.closed.is_set()
        with pytest.raises(ServingError, match=r"Specific\(m, 1\)"), repository.lease(1):
            pass
    assert model.closed.is_set()
    assert states(repository)[1] == "END"


def test_a_half_copied_version_waits_until_it_is_complete(tmp_path, make, loader, caplog):
    add(tmp_path, 1)
    repository = make()
    repository.refresh()
    (tmp_path / "2").mkdir()
    repository.refresh()
    repository.refresh()
    assert loader.loaded == [1]
    waiting = VersionStatus(2, State.START, message="saved_model.pb is not there")
    assert repository.statuses()[0] == waiting
    (tmp_path / "2" / "saved_model.pb").touch()
    repository.refresh()
    assert states(repository)[2] == "AVAILABLE"
    assert caplog.messages.count("m: version 2 waits to be whole: saved_model.pb is not there") == 1


def test_a_version_that_stays_incomplete_is_a_failure_in_the_end(tmp_path, make, loader):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "bad").touch()
    repository = make(retries=0, retry_seconds=0)
    repository.refresh()  # sees it grow
    assert loader.loaded == []
    assert not repository.settled.is_set()
    repository.refresh()  # sees that it does not
    assert repository.statuses() == [VersionStatus(1, State.END, Code.DATA_LOSS, "bad file")]
    assert repository.settled.is_set()


def test_the_newest_few_are_served_and_others_stand_in_for_bad_ones(tmp_path, make, loader):
    add(tmp_path, 1), add(tmp_path, 2), add(tmp_path, 3, bad=True), add(tmp_path, 4)
    repository = make(VersionPolicy(latest=2))
    repository.refresh()
    assert repository.available() == [4, 2]
    assert loader.loaded == [4, 3, 2]
    add(tmp_path, 5)
    repository.refresh()
    assert repository.available() == [5, 4]
    assert states(repository)[2] == "END"


def test_all_versions_can_be_served(tmp_path, make):
    add(tmp_path, 1), add(tmp_path, 2, bad=True), add(tmp_path, 3)
    repository = make(VersionPolicy(latest=None))
    repository.refresh()
    assert repository.available() == [3, 1]
    for version in (1, 3):
        with repository.lease(version) as (number, model):
            assert (number, model.path.name) == (version, str(version))


def test_named_versions_only_are_served(tmp_path, make, loader, caplog):
    add(tmp_path, 1), add(tmp_path, 2), add(tmp_path, 3)
    repository = make(VersionPolicy(specific=frozenset({1, 2, 9})))
    repository.refresh()
    assert repository.available() == [2, 1]
    repository.update(tmp_path, VersionPolicy(specific=frozenset({9})))
    repository.refresh()
    assert repository.available() == [2, 1]  # what is served stays until another is up
    assert "has no version to serve yet" in caplog.text
    add(tmp_path, 9)
    repository.refresh()
    assert repository.available() == [9]


def test_another_folder_may_hold_other_versions_of_the_same_numbers(tmp_path, make, loader):
    add(tmp_path, 1)
    repository = make()
    repository.refresh()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    repository.update(elsewhere, VersionPolicy())
    assert not repository.settled.is_set()
    repository.refresh()
    with repository.lease() as (_, old):
        add(elsewhere, 1)
        repository.refresh()
        assert not old.closed.is_set()
        with repository.lease() as (version, model):
            assert (version, model.path) == (1, elsewhere / "1")
    assert old.closed.is_set()
    assert states(repository) == {1: "AVAILABLE"}


def test_a_label_stands_for_a_version(tmp_path, make):
    add(tmp_path, 1), add(tmp_path, 2)
    repository = make(VersionPolicy(latest=2))
    repository.refresh()
    repository.set_labels({"stable": 1, "canary": 3})
    with repository.lease(label="stable") as (version, _):
        assert version == 1
    with pytest.raises(ServingError, match=r"Specific\(m, 3\)"), repository.lease(label="canary"):
        pass
    with pytest.raises(ServingError, match="Unrecognized servable version label: x") as caught:
        repository.lease(label="x").__enter__()
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_a_version_that_fails_leaves_the_old_one_alone_and_is_retried_when_changed(
    tmp_path, make, loader
):
    add(tmp_path, 1)
    repository = make(retries=0, retry_seconds=1000)
    repository.refresh()
    folder = add(tmp_path, 2, bad=True)
    repository.refresh()
    assert repository.statuses()[0] == VersionStatus(2, State.END, Code.DATA_LOSS, "bad file")
    assert states(repository)[1] == "AVAILABLE"
    repository.refresh()
    assert loader.loaded == [1, 2]
    (folder / "bad").unlink()
    repository.refresh()  # sees the change
    assert loader.loaded == [1, 2]
    repository.refresh()  # sees that the change is over
    assert loader.loaded == [1, 2, 2]
    assert states(repository) == {2: "AVAILABLE", 1: "END"}


def test_failures_are_retried_at_the_interval(tmp_path, make, loader):
    add(tmp_path, 1, bad=True)
    repository = make(retries=2, retry_seconds=0)
    repository.refresh()
    assert repository.statuses()[0] == VersionStatus(1, State.LOADING, Code.DATA_LOSS, "bad file")
    assert not repository.settled.is_set()
    for _ in range(5):
        repository.refresh()
    assert loader.loaded == [1, 1, 1]
    assert repository.statuses()[0].state == State.END
    assert repository.settled.is_set()
    assert repository.latest() is None


def test_an_older_version_stands_in_for_one_that_does_not_load(tmp_path, make):
    add(tmp_path, 1), add(tmp_path, 2, bad=True)
    repository = make()
    repository.refresh()
    assert states(repository) == {2: "LOADING", 1: "AVAILABLE"}


def test_any_exception_of_the_loader_is_a_failed_load(tmp_path):
    def load(path):
        raise RuntimeError("boom")

    add(tmp_path, 1)
    repository = Repository("m", tmp_path, load, policy=Policy(retries=0))
    repository.refresh()
    assert repository.statuses() == [VersionStatus(1, State.END, Code.INTERNAL, "boom")]


def test_removing_the_newest_version_goes_back_to_the_older(tmp_path, make):
    add(tmp_path, 1)
    newer = add(tmp_path, 2)
    repository = make()
    repository.refresh()
    remove(newer)
    repository.refresh()
    assert states(repository) == {2: "END", 1: "AVAILABLE"}


def test_an_empty_folder_unloads_everything_and_a_vanished_one_nothing(tmp_path, loader):
    base = tmp_path / "base"
    base.mkdir()
    repository = Repository("m", base, loader, policy=Policy())
    folder = add(base, 1)
    repository.refresh()
    base.rename(tmp_path / "elsewhere")
    repository.refresh()
    assert repository.latest() == 1
    (tmp_path / "elsewhere").rename(base)
    remove(folder)
    repository.refresh()
    assert repository.latest() is None
    with pytest.raises(ServingError, match=r"Latest\(m\)"), repository.lease():
        pass


def test_waiting_for_the_folder_is_logged_once(tmp_path, loader, caplog):
    repository = Repository("m", tmp_path / "later", loader, policy=Policy())
    repository.refresh()
    repository.refresh()
    assert [r.message for r in caplog.records] == [
        f"m: waiting for versions, {tmp_path / 'later'} does not exist"
    ]
    assert not repository.settled.is_set()


def test_the_thread_picks_versions_up(tmp_path, make, eventually):
    repository = make(poll_seconds=0.01)
    repository.start()
    add(tmp_path, 1)
    assert repository.settled.wait(10)
    add(tmp_path, 2)
    eventually(lambda: repository.latest() == 2)
    assert repository.close()
    assert states(repository) == {2: "END", 1: "END"}


def test_poll_zero_looks_once(tmp_path, make, eventually):
    repository = make(poll_seconds=0)
    repository.start()
    assert repository.settled.wait(10)
    assert repository.latest() is None
    add(tmp_path, 1)
    repository.update(tmp_path, VersionPolicy(latest=None))  # a new order makes it look again
    assert repository.settled.wait(10)
    assert repository.available() == [1]


def test_a_folder_that_cannot_be_read_is_looked_at_again(tmp_path, make, monkeypatch, caplog):
    failures = [PermissionError(13, "Permission denied")]

    def find(path):
        if failures:
            raise failures.pop()
        return find_versions(path)

    monkeypatch.setattr("serving.server.repository.find_versions", find)
    add(tmp_path, 1)
    repository = make(poll_seconds=0.01)
    repository.start()
    assert repository.settled.wait(10)
    assert "Permission denied" in caplog.text
