"""Checkpoints: complete or not there at all, whatever happens while one is written."""

import dataclasses
import errno
import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

from training import checkpoints
from training.checkpoints import Meta

SAVED = ["state.safetensors", "meta.json"]


def state(fill: float = 0.0) -> dict[str, list[keras.Variable]]:
    """A vector, a scalar and an integer of two groups."""
    return {
        "model": [keras.Variable(np.full([3, 2], fill, np.float32), name="kernel")],
        "optimizer": [
            keras.Variable(np.float32(fill), name="rate"),
            keras.Variable(np.array([int(fill), 7]), dtype="int64", name="count"),
        ],
    }


def values(of: dict[str, list[keras.Variable]]) -> list[np.ndarray]:
    return [v.numpy() for group in of.values() for v in group]


def names(folder: pathlib.Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_was_saved_comes_back(tmp_path):
    saved = checkpoints.save(tmp_path, state(2.5), Meta(12, 0.75, 10))
    assert saved.name == "00000012" and names(saved) == sorted(SAVED)
    fresh = state()
    meta = checkpoints.restore(saved, fresh)
    assert (meta.step, meta.best, meta.best_step) == (12, 0.75, 10)
    for now, then in zip(values(fresh), values(state(2.5)), strict=True):
        assert now.dtype == then.dtype and np.array_equal(now, then)
    _, tensors = checkpoints.read(saved)
    assert list(checkpoints.model_weights(tensors)) == ["kernel"]


def test_variables_of_one_name_are_told_apart(tmp_path):
    twins = {"model": [keras.Variable(float(i), name="seed") for i in range(3)]}
    saved = checkpoints.save(tmp_path, twins, Meta(1, None, None))
    fresh = {"model": [keras.Variable(9.0, name="seed") for _ in range(3)]}
    checkpoints.restore(saved, fresh)
    assert [float(v.numpy()) for v in fresh["model"]] == [0.0, 1.0, 2.0]


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    for step in (10, 20, 30, 40, 50):
        checkpoints.save(tmp_path, state(step), Meta(step, 0.5, 20 if step >= 20 else None))
    assert names(tmp_path) == ["00000020", "00000040", "00000050"]
    assert [p.name for p in checkpoints.everything(tmp_path)] == names(tmp_path)


def test_a_folder_that_is_not_there_holds_no_checkpoint(tmp_path):
    assert checkpoints.everything(tmp_path / "nowhere") == []


OPERATIONS = [
    ("training.checkpoints.save_file", 1),
    ("training.checkpoints.digest", 1),
    ("pathlib.Path.mkdir", 1),
    ("pathlib.Path.write_text", 1),
    ("training.checkpoints.sync", 1),
    ("training.checkpoints.sync", 2),
    ("training.checkpoints.sync", 3),
    ("pathlib.Path.rename", 1),
]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), Killed()])
@pytest.mark.parametrize(("operation", "turn"), OPERATIONS)
def test_a_save_that_fails_anywhere_leaves_the_older_ones(
    tmp_path, monkeypatch, operation, turn, fault
):
    checkpoints.save(tmp_path, state(1), Meta(10, 0.5, 10))
    turns = []

    def broken(*args, **kwargs):
        turns.append(operation)
        if len(turns) == turn:
            if operation.endswith("save_file"):
                args[1].write_bytes(b"half")
            raise fault
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        owner, _, attribute = operation.rpartition(".")
        module = checkpoints if owner == "training.checkpoints" else pathlib.Path
        real = getattr(module, attribute)
        patch.setattr(module, attribute, broken)
        if isinstance(fault, Killed):  # nobody tidies up after a kill
            patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
        with pytest.raises(type(fault)):
            checkpoints.save(tmp_path, state(2), Meta(20, 0.5, 10))
    assert [p.name for p in checkpoints.everything(tmp_path)] == ["00000010"]
    if isinstance(fault, OSError):
        assert names(tmp_path) == ["00000010"], "nothing half-written is left"
    fresh = state()
    assert checkpoints.restore(tmp_path / "00000010", fresh).step == 10
    assert np.array_equal(values(fresh)[0], values(state(1))[0])
    checkpoints.save(tmp_path, state(2), Meta(20, 0.5, 10))  # and later all is well
    assert checkpoints.restore(tmp_path / "00000020", fresh).step == 20
    assert names(tmp_path) == ["00000010", "00000020"]


def cut(file: pathlib.Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def change(file: pathlib.Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def empty(file: pathlib.Path) -> None:
    file.write_bytes(b"")


def rewrite(file: pathlib.Path) -> None:
    file.write_text('{"step": 20}')


def scramble(file: pathlib.Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")


def listed(file: pathlib.Path) -> None:
    file.write_text("[1, 2]")


DAMAGE = [
    ("state.safetensors", pathlib.Path.unlink, "00000020 lacks state.safetensors"),
    ("state.safetensors", cut, "00000020 is damaged"),
    ("state.safetensors", change, "00000020 is damaged"),
    ("state.safetensors", empty, "00000020 is damaged"),
    ("meta.json", pathlib.Path.unlink, "00000020 lacks meta.json"),
    ("meta.json", cut, "00000020 has an unreadable meta.json"),
    ("meta.json", empty, "00000020 has an unreadable meta.json"),
    ("meta.json", rewrite, "00000020"),
    ("meta.json", scramble, "00000020 has an unreadable meta.json"),
    ("meta.json", listed, "00000020 has an unreadable meta.json"),
]


@pytest.mark.parametrize(("file", "damage", "sentence"), DAMAGE)
def test_a_damaged_checkpoint_says_how_and_sets_nothing(tmp_path, file, damage, sentence):
    saved = checkpoints.save(tmp_path, state(1), Meta(20, 0.5, 20))
    damage(saved / file)
    fresh = state(5)
    with pytest.raises(checkpoints.Unreadable) as caught:
        checkpoints.restore(saved, fresh)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
    for now, then in zip(values(fresh), values(state(5)), strict=True):
        assert np.array_equal(now, then)


def test_the_checkpoint_of_another_network_is_refused(tmp_path):
    saved = checkpoints.save(tmp_path, state(1), Meta(20, 0.5, 20))
    more = {**state(), "average": [keras.Variable(1.0, name="mean")]}
    with pytest.raises(checkpoints.Foreign, match="holds other variables: average/mean"):
        checkpoints.restore(saved, more)
    other = state()
    other["model"] = [keras.Variable(np.zeros([2, 2], np.float32), name="kernel")]
    with pytest.raises(checkpoints.Foreign, match="model/kernel"):
        checkpoints.restore(saved, other)


def test_an_unreadable_checkpoint_is_set_aside_and_never_looked_at_again(tmp_path):
    for _ in range(2):
        checkpoints.save(tmp_path, state(1), Meta(20, 0.5, 20))
        checkpoints.set_aside(tmp_path / "00000020")
    assert checkpoints.everything(tmp_path) == []
    assert names(tmp_path) == ["00000020.unreadable-1", "00000020.unreadable-2"]


def test_meta_is_plain_json(tmp_path):
    saved = checkpoints.save(tmp_path, state(1), Meta(20, 0.5, 20))
    stored = json.loads((saved / "meta.json").read_text())
    assert stored.keys() == {f.name for f in dataclasses.fields(Meta)}
    assert stored["sha256"] == checkpoints.digest(saved / "state.safetensors")


def test_a_checkpoint_is_readable_by_whom_the_folder_allows(tmp_path):
    saved = checkpoints.save(tmp_path, state(1), Meta(20, 0.5, 20))
    modes = {(saved / name).stat().st_mode for name in SAVED}
    assert len(modes) == 1, "that of every other file"


def test_the_systems_error_keeps_its_number(tmp_path):
    nowhere = tmp_path / "none" / "state.safetensors"
    with pytest.raises(FileNotFoundError) as caught:
        checkpoints.dump(checkpoints.copied(state()), nowhere)
    assert caught.value.errno == errno.ENOENT and caught.value.filename == str(nowhere)


def test_a_copy_goes_into_the_memory_of_the_one_before():
    first = checkpoints.copied(state(1))
    kept = dict(first)
    assert checkpoints.copied(state(2), into=first) is first
    assert all(first[name] is kept[name] for name in kept)
    assert all(map(np.array_equal, first.values(), values(state(2))))


# Saving while training goes on.


def test_what_is_saved_is_what_was_when_it_was_asked_for(tmp_path, held):
    live = state(1)
    with checkpoints.Saver(tmp_path) as saver:
        saver.save(live, Meta(10, None, None))
        for group in live.values():
            for variable in group:
                variable.assign(np.zeros(variable.shape, variable.dtype))
        assert checkpoints.everything(tmp_path) == [], "it has not been written yet"
        held.set()
    checkpoints.restore(tmp_path / "00000010", live)
    for now, then in zip(values(live), values(state(1)), strict=True):
        assert np.array_equal(now, then)


def test_the_next_save_waits_for_the_one_before(tmp_path, slow_disk, monkeypatch):
    """Nothing is copied before the first is on disk: its memory is used again."""
    found, copied = [], checkpoints.copied

    def looking(state, *, into):
        found.append([p.name for p in checkpoints.everything(tmp_path)])
        return copied(state, into=into)

    monkeypatch.setattr(checkpoints, "copied", looking)
    with checkpoints.Saver(tmp_path) as saver:
        saver.save(state(1), Meta(10, None, None))
        saver.save(state(2), Meta(20, None, None))
        saver.save(state(2), Meta(20, None, None))  # the step is the same: nothing to do
    assert found == [[], ["00000010"]]
    fresh = state()
    for step, fill in ((10, 1), (20, 2)):
        checkpoints.restore(tmp_path / f"{step:08d}", fresh)
        assert np.array_equal(values(fresh)[0], values(state(fill))[0])


def failing(monkeypatch, *, turn):
    """The disk is full when a checkpoint is written for the `turn`-th time."""
    turns, real = [], checkpoints.save_file

    def full(tensors, file):
        turns.append(file)
        if len(turns) == turn:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))
        real(tensors, file)

    monkeypatch.setattr(checkpoints, "save_file", full)


@pytest.mark.parametrize(
    "next_call",
    [
        lambda saver: saver.wait(),
        lambda saver: saver.save(state(3), Meta(30, None, None)),
        lambda saver: saver.thread.submit(int).result() or saver.check(),  # once it has failed
        lambda saver: None,
    ],
    ids=["wait", "save", "check", "end"],
)
def test_an_error_of_the_thread_is_raised_at_the_next_call(tmp_path, monkeypatch, next_call):
    failing(monkeypatch, turn=2)
    with pytest.raises(OSError, match="No space left"), checkpoints.Saver(tmp_path) as saver:
        saver.save(state(1), Meta(10, None, None))
        saver.save(state(2), Meta(20, None, None))
        next_call(saver)
    assert names(tmp_path) == ["00000010"]
