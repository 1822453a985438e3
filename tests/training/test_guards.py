"""When a run stops itself, and when it does not."""

import io
import json
import math
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import rich.console
import tensorflow as tf
from safetensors.numpy import load_file

from training import checkpoints, guards, loop, schedules
from training.journal import Journal


def looks_at(run, learner):
    return guards.Guard(run, learner.state, checkpoints.Saver(run.run_dir / "checkpoints"))


@pytest.fixture
def guard(make_run, make_learner):
    """A guard that looks at losses one interval of 10 steps after another."""

    def make(losses, **changes):
        run = make_run(**changes)
        looking = looks_at(run, make_learner(run))
        for i, loss in enumerate(losses):
            looking.train(10 * (i + 1), {"loss": loss, "weight": 4.0}, count=10)

    return make


NOISE = np.random.default_rng(0).lognormal(0.0, 0.7, 200).tolist()
HARMLESS = {
    "noise": NOISE,
    "a loss that falls by a thousand": [1000 * 0.9**i for i in range(100)],
    "one bad batch": [2.0] * 10 + [5e4] + [2.5] * 10,
    "opponents": [0.01, 8.0, 0.02, 12.0, 0.005, 20.0] * 20,
    "a critic that goes below zero and grows": [-(1.05**i) for i in range(150)],
    "a loss near zero": [1e-6, 1e-5, 1e-6, 1e-6, 1e-2, 0.5] * 5,
    "large from the start": [5e6, 4e6, 4.5e6] * 5,
    "large at once, before there is a level": [2.0, 1e6, 1e6, 1e5, 1e4],
}


@pytest.mark.parametrize("losses", HARMLESS.values(), ids=HARMLESS)
def test_a_healthy_loss_goes_on(guard, losses):
    guard(losses)


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([2.0, math.nan], "loss is nan over steps 11 to 20"),
        ([2.0, 2.0, math.inf], "loss is inf over steps 21 to 30"),
        ([2.0] * 5 + [300.0, 400.0], "exploded: 400 over steps 61 to 70"),
        ([2.0 * 2**i for i in range(20)], "exploded"),
    ],
)
def test_a_loss_past_hope_stops_the_run(guard, losses, words):
    with pytest.raises(guards.Diverged, match=words) as caught:
        guard(losses)
    assert "no checkpoint had been saved" in str(caught.value)
    assert "--optimizer.learning-rate" in str(caught.value)


def test_the_limit_can_be_moved_and_taken_away_but_nan_always_stops(guard):
    climbing = [2.0] * 5 + [300.0, 400.0]
    guard(climbing, loss_limit=1000.0)
    guard(climbing, loss_limit=None)
    with pytest.raises(guards.Diverged, match="more than 5 times"):
        guard([2.0] * 5 + [12.0, 12.0], loss_limit=5.0)
    with pytest.raises(guards.Diverged, match="loss is nan"):
        guard([math.nan], loss_limit=None)


def test_weights_that_are_not_finite_stop_the_run_though_the_loss_still_is(make_run, make_learner):
    run = make_run(precision="mixed_bfloat16")
    learner = make_learner(run)
    looking = looks_at(run, learner)
    looking.train(10, {"loss": 2.0}, count=10)
    moment = learner.optimizer.variables[-1]
    moment.assign(np.full(moment.shape, np.inf, "float32"))
    with pytest.raises(guards.Diverged, match="NaN or infinity after steps 11 to 20") as caught:
        looking.train(20, {"loss": 2.0}, count=10)
    assert "--precision=float32" in str(caught.value)


def test_an_evaluation_that_is_not_finite_stops_the_run(make_run, make_learner):
    run = make_run()
    with pytest.raises(guards.Diverged, match="in the evaluation at step 20"):
        looks_at(run, make_learner(run)).eval(20, {"loss": math.nan})


@pytest.fixture
def rate(monkeypatch):
    """Makes the learning rate leap at a step."""

    def leap(step, to):
        def call(self, now):
            return tf.where(now < step, 1e-2, to)

        monkeypatch.setattr(schedules.Rate, "__call__", call)

    return leap


def train(run, learner, data):
    journal = Journal(run, unit="tokens", console=rich.console.Console(file=io.StringIO()))
    loop.train(run, learner, data, journal, strategy=tf.distribute.get_strategy())


def check_kept(run, message):
    """Every checkpoint is finite, and the message names the newest."""
    kept = checkpoints.everything(run.run_dir / "checkpoints")
    assert f"{kept[-1]}, of step {int(kept[-1].name)}" in message
    for checkpoint in kept:
        for name, value in load_file(checkpoint / "state.safetensors").items():
            assert np.isfinite(value).all(), (checkpoint, name)


@pytest.mark.usefixtures("slow_disk")
@pytest.mark.parametrize(
    ("leap", "words"),
    [((10, 1e30), "steps 11 to 12"), ((10, 1e5), "exploded: .* over steps 1[35] to 1[46]")],
)
def test_a_run_that_diverges_keeps_its_last_good_checkpoint(
    make_run, make_learner, data, rate, leap, words
):
    rate(*leap)
    run = make_run(steps=40, eval_every=4, save_every=2)
    with pytest.raises(guards.Diverged, match=words) as caught:
        train(run, make_learner(run), data)
    check_kept(run, str(caught.value))


@pytest.mark.usefixtures("slow_disk")
@pytest.mark.parametrize("steps", [10, 40], ids=["the run's last", "in the middle"])
def test_weights_spoilt_by_an_intervals_last_update_are_not_saved(
    make_run, make_learner, data, steps
):
    """The losses of that interval are those from before the update, and finite."""
    run = make_run(steps=steps, eval_every=4, save_every=2)
    learner = make_learner(run)
    real = learner.train_step

    def spoilt(batch):
        logs = real(batch)
        gains = learner.model.trainable_variables[-1]
        gains.assign(tf.where(learner.optimizer.iterations.value >= 10, math.nan, gains.value))
        return logs

    learner.train_step = spoilt
    with pytest.raises(guards.Diverged, match="weights or .* NaN .* after steps 9 to 10") as caught:
        train(run, learner, data)
    check_kept(run, str(caught.value))


class Asked(Journal):
    """A journal that a signal reaches at step 12."""

    def train(self, step, logs, **more):
        super().train(step, logs, **more)
        if step == 12:
            signal.raise_signal(signal.SIGTERM)


def test_a_signal_saves_no_weights_that_are_past_hope(make_run, make_learner, data, rate):
    rate(10, 1e30)
    run = make_run(steps=40)
    journal = Asked(run, unit="tokens", console=rich.console.Console(file=io.StringIO()))
    with pytest.raises(guards.Diverged):
        loop.train(run, make_learner(run), data, journal, strategy=tf.distribute.get_strategy())
    assert checkpoints.everything(run.run_dir / "checkpoints")[-1].name == "00000010"


def test_workers_stop_themselves_together(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "training.run", "--model=mlp", "--preset=tiny", "--compile=off",
         "--spawn=2", "--optimizer.learning-rate=1e30", f"--run-dir={tmp_path / 'run'}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    sentence = "training.run: the run stopped itself, for loss is nan over steps 1 to 10;"
    assert done.stdout.count(sentence) == 2
    assert "another worker has ended" not in done.stdout and "Traceback" not in done.stdout


def test_the_command_says_one_sentence_and_ends_with_status_1(commands, bare, tiny_argv, tmp_path):
    argv = (*tiny_argv, "--compile=off", f"--run-dir={tmp_path / 'run'}")
    ended = commands(*argv, "--optimizer.learning-rate=1e30", before=bare)
    assert ended.status == 1, ended.output
    assert "Traceback" not in ended.output
    last = ended.output.strip().splitlines()[-1]
    assert last.startswith(
        "training.run: the run stopped itself, for loss is nan over steps 1 to 10"
    )
    assert "no checkpoint had been saved; try a lower --optimizer.learning-rate" in last
    assert not checkpoints.everything(tmp_path / "run" / "checkpoints")
    assert not (tmp_path / "run" / "export.json").exists()
    assert (tmp_path / "run" / "report.html").exists()


LEAP = """
import tensorflow as tf
from training import schedules
schedules.Rate.__call__ = lambda self, step: tf.where(step < 45, 1e-3, 1e30)
"""


def test_the_command_names_the_checkpoint_it_came_from(commands, bare, undisturbed, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(undisturbed.run_dir, run)
    (run / "export.json").unlink()
    argv = (*undisturbed.argv, f"--run-dir={run}", "--steps=80")
    ended = commands(*argv, before=bare + LEAP)
    assert ended.status == 1, ended.output
    assert (
        f"over steps 41 to 50; the last good checkpoint is {run}/checkpoints/00000040, of step 40"
        in (ended.output)
    )
    assert f"--init-from={run}" in ended.output
    assert checkpoints.everything(run / "checkpoints")[-1].name == "00000040"
    last = json.loads((run / "logs.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 50 and last["loss"] is None
    ended = commands(*argv, "--loss-limit=50", before=bare)
    assert ended.status == 0, "another limit is no other run: " + ended.output
