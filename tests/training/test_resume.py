"""kill -9 at any moment, the same command again, and the end is that of an undisturbed run."""

import json
import random

import pytest

# Each kills the process at a moment of its own; the run has dropout on and saves every 10 steps.
MOMENTS = {
    "before the first step": "kill_at(loop.step, 'repeat', 1)",
    "in the middle of a step's log": "kill_at(journal.Journal, 'train', 2)",
    "after the tensors, before the meta": "kill_at(checkpoints, 'digest', 1)",
    "while the save is forced to disk": "kill_at(checkpoints, 'sync', 2)",
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

"""


def killed_and_ended(commands, bare, undisturbed, tmp_path, same_tensors, moments):
    """Kills the run at each moment in turn, then lets it end, and compares."""
    argv = (*undisturbed.argv, f"--run-dir={tmp_path / 'run'}")
    for moment in moments:
        ended = commands(*argv, before=bare + KILL + moment)
        assert ended.status == -9, ended.output
    ended = commands(*argv, before=bare)
    assert ended.status == 0, ended.output
    ends = [d / "checkpoints" / "00000040" for d in (tmp_path / "run", undisturbed.run_dir)]
    assert same_tensors(*ends)
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if "second" not in k}
            for line in (folder / "logs.jsonl").read_text().splitlines()
        ]
        for folder in (tmp_path / "run", undisturbed.run_dir)
    ]
    assert logs[0] == logs[1], "and its log is that of an undisturbed run too"


def test_a_run_killed_three_times_ends_as_an_undisturbed_one(
    commands, bare, undisturbed, tmp_path, same_tensors
):
    moments = [
        MOMENTS[name]
        for name in (
            "in the middle of a step's log",
            "before the rename",
            "while the save is forced to disk",
        )
    ]
    killed_and_ended(commands, bare, undisturbed, tmp_path, same_tensors, moments)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_every_moment_to_be_killed_at(commands, bare, undisturbed, tmp_path, same_tensors, moment):
    killed_and_ended(commands, bare, undisturbed, tmp_path, same_tensors, [MOMENTS[moment]])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_moments_to_be_killed_at(commands, bare, undisturbed, tmp_path, same_tensors, seed):
    draw = random.Random(seed)
    moments = [
        f"signal.setitimer(signal.ITIMER_REAL, {draw.uniform(0.5, 9)});"
        "signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))"
        for _ in range(2)
    ]
    argv = (*undisturbed.argv, f"--run-dir={tmp_path / 'run'}")
    for moment in moments:  # it may have ended before
        assert commands(*argv, before=bare + KILL + moment).status in (-9, 0, 2)
    killed_and_ended(commands, bare, undisturbed, tmp_path, same_tensors, [])
