"""The loop: when it evaluates and saves, how it ends, and where it goes on."""

import io
import json
import os
import pathlib
import re
import signal

import pytest
import rich.console
import tensorflow as tf

from training import checkpoints, loop, optimization
from training.config import UserError
from training.journal import Journal


@pytest.fixture
def train(make_learner, data):
    """Trains a run and gives its progress and what it said; `on` is called at every evaluation."""

    def call(run, *, on=lambda: {}):
        journal = Journal(
            run, unit="tokens", console=rich.console.Console(file=io.StringIO(), width=200)
        )
        call.said = journal.console.file
        return loop.train(
            run,
            make_learner(run),
            data,
            journal,
            strategy=tf.distribute.get_strategy(),
            evaluators=[on],
        )

    return call


def steps_of(run, split):
    lines = (run.run_dir / "logs.jsonl").read_text().splitlines()
    return [e["step"] for e in map(json.loads, lines) if e["split"] == split]


def saved(run):
    return [p.name for p in checkpoints.everything(run.run_dir / "checkpoints")]


def test_a_run_logs_evaluates_saves_and_learns(make_run, train):
    run = make_run(steps=15, log_every=2, eval_every=4, save_every=6)
    progress = train(run, on=lambda: {"sample": "words", "bleu": 0.5})
    assert steps_of(run, "train") == [2, 4, 6, 8, 10, 12, 14, 15], "the last interval is shorter"
    assert steps_of(run, "eval") == [4, 8, 12, 15], "and the last step is evaluated"
    assert progress.step == 15 and progress.best_step in (4, 8, 12, 15)
    assert saved(run)[-1] == "00000015"
    assert f"{progress.best_step:08d}" in saved(run)
    lines = [json.loads(line) for line in (run.run_dir / "logs.jsonl").read_text().splitlines()]
    held_out = [e["loss"] for e in lines if e["split"] == "eval"]
    assert held_out[-1] < held_out[0]
    assert progress.best == min(held_out)
    assert all(e["sample"] == "words" for e in lines if e["split"] == "eval")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_interval_and_saves(
    make_run, train, make_learner, data, number
):
    run = make_run(steps=8, log_every=2, eval_every=4, save_every=8)
    before = signal.getsignal(number)

    def press():
        os.kill(os.getpid(), number)
        return {}

    with pytest.raises(loop.Interrupted) as caught:
        train(run, on=press)
    assert (caught.value.number, caught.value.step) == (number, 4)
    assert saved(run) == ["00000004"]
    assert signal.getsignal(number) is before
    assert train(run).step == 8
    assert "Going on from step 4." in train.said.getvalue()


def test_an_interrupted_run_ends_as_an_undisturbed_one(make_run, train, tmp_path, same_tensors):
    plain = make_run(steps=8, dropout=0.5, run_dir=tmp_path / "plain")
    train(plain)
    cut = make_run(steps=8, dropout=0.5, run_dir=tmp_path / "cut")

    def press():
        signal.raise_signal(signal.SIGINT)
        return {}

    for _ in range(3):
        with pytest.raises(loop.Interrupted):
            train(cut, on=press)
    train(cut)
    ends = [run.run_dir / "checkpoints" / "00000008" for run in (plain, cut)]
    assert same_tensors(*ends)
    assert steps_of(cut, "train") == steps_of(plain, "train")


def test_a_plateau_hears_of_every_evaluation_and_goes_on_exactly(
    make_run, train, tmp_path, same_tensors
):
    schedule = optimization.Plateau(factor=0.5, patience=1, min_delta=100.0)
    plain, cut = (make_run(schedule=schedule, run_dir=tmp_path / name) for name in ("one", "two"))
    train(plain)

    def press():
        signal.raise_signal(signal.SIGINT)
        return {}

    for _ in range(2):
        with pytest.raises(loop.Interrupted):
            train(cut, on=press)
    train(cut)
    ends = [run.run_dir / "checkpoints" / "00000006" for run in (plain, cut)]
    assert same_tensors(*ends)
    for step, share in ((4, 0.5), (6, 0.25)):
        _, tensors = checkpoints.read(plain.run_dir / "checkpoints" / f"{step:08d}")
        assert tensors["optimizer/adamw/plateau_share"] == share


def damage(checkpoint: pathlib.Path) -> None:
    file = checkpoint / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def test_a_damaged_checkpoint_is_said_and_the_one_before_is_taken(
    make_run, train, tmp_path, same_tensors
):
    plain = make_run(steps=6, run_dir=tmp_path / "plain")
    train(plain)
    hurt = make_run(steps=6, run_dir=tmp_path / "hurt")
    train(hurt)
    folder = hurt.run_dir / "checkpoints"
    damage(folder / "00000006")
    assert train(hurt).step == 6
    said = train.said.getvalue()
    assert re.search(r"00000006 is damaged", said) and "Going on from step 4." in said
    ends = [run.run_dir / "checkpoints" / "00000006" for run in (plain, hurt)]
    assert same_tensors(*ends), "the damaged one has been written again"
    assert steps_of(hurt, "train") == [2, 4, 6]


def test_without_a_readable_checkpoint_the_run_begins_again_and_keeps_the_files(make_run, train):
    run = make_run(steps=4)
    train(run)
    folder = run.run_dir / "checkpoints"
    for checkpoint in checkpoints.everything(folder):
        damage(checkpoint)
    assert train(run).step == 4
    assert train.said.getvalue().count("is damaged") == 2
    assert steps_of(run, "train") == [2, 4], "the log is that of the new beginning"
    checkpoints.read(folder / "00000004")


def test_the_checkpoint_of_another_network_stops_the_run(make_run, train):
    train(make_run(steps=2))
    with pytest.raises(UserError, match="holds other variables") as caught:
        train(make_run(steps=2, depth=2))
    assert "--run-dir" in str(caught.value)


def test_a_full_disk_ends_the_run_and_leaves_what_was_saved(make_run, train, monkeypatch):
    run = make_run(steps=100)
    real, files = checkpoints.save_file, []

    def full(tensors, file):
        files.append(file)
        if len(files) == 2:
            raise OSError(28, "No space left on device")
        real(tensors, file)

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        train(run)
    monkeypatch.undo()
    assert saved(run) == ["00000002"]
    assert steps_of(run, "train")[-1] <= 6, "no save is begun after one that failed"
    again = make_run(steps=6, run_dir=run.run_dir)
    assert train(again).step == 6
    assert "Going on from step 2." in train.said.getvalue()


@pytest.mark.parametrize("compile", [False, True])
def test_steps_taken_while_a_checkpoint_is_written_are_not_in_it(
    make_run, train, tmp_path, same_tensors, held, compile
):
    """Step 2 is saved, held, and written only after the steps up to 4."""
    late, plain = (
        make_run(steps=4, eval_every=4, dropout=0.5, compile=compile, run_dir=tmp_path / name)
        for name in ("late", "plain")
    )

    def release():
        assert saved(late) == []
        held.set()
        return {}

    train(late, on=release)
    train(plain)
    for step in ("00000002", "00000004"):
        ends = [run.run_dir / "checkpoints" / step for run in (late, plain)]
        assert same_tensors(*ends)


def test_a_signal_while_a_checkpoint_is_written_waits_for_it_and_saves(make_run, train, held):
    run = make_run(steps=8, eval_every=4)

    def press():
        assert saved(run) == [], "the first is being written"
        os.kill(os.getpid(), signal.SIGTERM)
        held.set()
        return {}

    with pytest.raises(loop.Interrupted) as caught:
        train(run, on=press)
    assert caught.value.step == 4
    assert saved(run) == ["00000002", "00000004"]
    for checkpoint in checkpoints.everything(run.run_dir / "checkpoints"):
        checkpoints.read(checkpoint)
