"""kill -9 at any moment, the same command again, and the end is that of an undisturbed run."""

import random
from types import SimpleNamespace

import pytest

from training import checkpoints

# Each kills the process at a moment of its own; the run has dropout on and saves every 10 steps.
MOMENTS = {
    "before the first step": "kill_at(loop.step, 'repeat', 1)",
    "in the middle of a step's log": "kill_at(journal.Journal, 'train', 2)",
    "after the tensors, before the meta": "kill_at(checkpoints, 'digest', 1)",
    "while the save is forced to disk": "kill_at(checkpoints, 'sync', 2)",
    "while training goes on": "hold(checkpoints, 'sync'); kill_at(journal.Journal, 'train', 2)",
    "before the rename": "kill_at(pathlib.Path, 'rename', 1)",
    "after the rename": "kill_at(checkpoints, 'sync', 4)",
    "while an old checkpoint is removed": "kill_at(checkpoints.shutil, 'rmtree', 4)",
    "in an evaluation": "kill_at(journal.Journal, 'eval', 1)",
}

KILL = """
import os, pathlib, signal

def kill_at(owner, name, turn):
    real, turns = getattr(owner, name), []
    def deadly(*args, **kwargs):
        turns.append(name)
        if len(turns) == turn:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    setattr(owner, name, deadly)

def hold(owner, name):
    setattr(owner, name, lambda *args, **kwargs: signal.pause())

"""


def killed_and_ended(commands, bare, undisturbed, tmp_path, same_tensors, told, moments):
    """Kills the run at each moment in turn, then lets it end, and compares."""
    argv = (*undisturbed.argv, f"--run-dir={tmp_path / 'run'}")
    for moment in moments:
        ended = commands(*argv, before=bare + KILL + moment)
        assert ended.status == -9, ended.output
    ended = commands(*argv, before=bare)
    assert ended.status == 0, ended.output
    ends = [
        checkpoints.everything(folder / "checkpoints")[-1]
        for folder in (tmp_path / "run", undisturbed.run_dir)
    ]
    assert ends[0].name == ends[1].name
    assert same_tensors(*ends)
    assert checkpoints.read(ends[0])[0] == checkpoints.read(ends[1])[0], "and its best metric"
    assert told(tmp_path / "run") == told(undisturbed.run_dir), "and so is its log"


def test_a_run_killed_four_times_ends_as_an_undisturbed_one(
    commands, bare, undisturbed, tmp_path, same_tensors, told
):
    moments = [
        MOMENTS[name]
        for name in (
            "in the middle of a step's log",
            "before the rename",
            "while training goes on",
            "while the save is forced to disk",
        )
    ]
    killed_and_ended(commands, bare, undisturbed, tmp_path, same_tensors, told, moments)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_every_moment_to_be_killed_at(
    commands, bare, undisturbed, tmp_path, same_tensors, told, moment
):
    killed_and_ended(commands, bare, undisturbed, tmp_path, same_tensors, told, [MOMENTS[moment]])


@pytest.fixture(scope="module")
def long(commands, bare, tiny_argv, tmp_path_factory):
    """A run long enough to be killed ten times."""
    folder = tmp_path_factory.mktemp("long") / "run"
    argv = (*tiny_argv, "--compile=off", "--steps=600")
    ended = commands(*argv, f"--run-dir={folder}", before=bare)
    assert ended.status == 0, ended.output
    return SimpleNamespace(argv=argv, run_dir=folder)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_ten_kills_in_one_run(commands, bare, long, tmp_path, same_tensors, told, seed):
    """Every moment once and twice at a random time, in random order."""
    draw = random.Random(seed)
    times = [
        "signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL));"
        f"signal.setitimer(signal.ITIMER_REAL, {draw.uniform(0.5, 3)})"
        for _ in range(2)
    ]
    moments = [*MOMENTS.values(), *times]
    draw.shuffle(moments)
    killed_and_ended(commands, bare, long, tmp_path, same_tensors, told, moments)
