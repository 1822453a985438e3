"""kill -9 in the middle of a round, and the run ends as an undisturbed one: replay and all.

Steps are drawn by priority, so that what updates found has to be kept too.
"""

import json

import numpy as np
import pytest

from training import checkpoints

# Saved at 20, in the middle of a round of 16 updates, and killed at the log of step 30.
ARGV = (
    *("--model=dqn", "--preset=tiny", "--compile=off", "--journals=csv"),
    *("--acting.updates=16", "--acting.act-steps=32", "--acting.priority=0.6"),
)
KILL = """
import os, signal
from training import journal
real, turns = journal.Journal.train, []
def deadly(*args, **kwargs):
    turns.append(1)
    if len(turns) == 3:
        while not (args[0].run.run_dir / "checkpoints" / "00000020").is_dir():
            os.sched_yield()  # the save is written meanwhile
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
journal.Journal.train = deadly
"""


@pytest.fixture(scope="module")
def ends(commands, no_export, tmp_path_factory):
    """The last checkpoints of an undisturbed run and of one that was killed, and their folders."""
    folders = [tmp_path_factory.mktemp(name) / "run" for name in ("whole", "killed")]
    whole = commands(*ARGV, f"--run-dir={folders[0]}", before=no_export)
    assert whole.status == 0, whole.output
    argv = (*ARGV, f"--run-dir={folders[1]}")
    assert commands(*argv, before=no_export + KILL).status == -9
    again = commands(*argv, before=no_export)
    assert again.status == 0, again.output
    assert "Going on from step 20." in again.output
    return [checkpoints.everything(folder / "checkpoints")[-1] for folder in folders], folders


def test_replay_games_target_and_weights_are_those_of_an_undisturbed_run(ends):
    (whole, killed), _ = ends
    for read in (checkpoints.read_data, lambda c: checkpoints.read(c)[1]):
        wanted, given = read(whole), read(killed)
        assert wanted.keys() == given.keys()
        assert all(np.array_equal(wanted[name], given[name]) for name in wanted)
    assert checkpoints.read(whole)[0] == checkpoints.read(killed)[0]
    names = checkpoints.read(whole)[1]
    assert any(name.startswith("target/") for name in names) and "updates/updates" in names
    kept = checkpoints.read_data(whole)
    assert {"replay/frames", "table/moves", "taken"} <= kept.keys()
    weights = kept["replay/weights"][kept["replay/begins"]]
    assert len(np.unique(weights)) > 50, "differences were fed back"
    assert len(kept["found"]) == 8 * 16, "those of the last round, of which 8 updates were done"


def test_a_finished_run_leaves_a_game_to_look_at(ends):
    _, folders = ends
    for name in ("episode.mp4", "episode.gif"):
        whole, killed = ((folder / name).read_bytes() for folder in folders)
        assert whole == killed, "the same weights play the same game"
    assert "data:image/gif;base64," in (folders[0] / "report.html").read_text()


def test_the_log_says_what_was_played(ends):
    _, folders = ends
    logs = [
        [json.loads(line) for line in (folder / "logs.jsonl").read_text().splitlines()]
        for folder in folders
    ]
    for name in ("loss", "agent_steps", "epsilon", "train_return", "return", "cost"):
        told = [[e[name] for e in log if name in e] for log in logs]
        assert told[0] == told[1] and told[0], name
    last = [e for e in logs[0] if e["split"] == "train"][-1]
    assert last["agent_steps"] == 256 + 3 * 32, "the start, and three rounds begun"
