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
    ("pathlib.Path.write_bytes", 1),
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
            if operation.endswith("write_bytes"):
                real(args[0], b"half")
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
