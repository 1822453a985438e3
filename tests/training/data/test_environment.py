"""Our games as tf-agents' environments: valid by its own check, and the games of training."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.training.data import environment_answers as asked


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the process found; tf-agents' own validation and its comparisons have passed then."""
    out = tmp_path_factory.mktemp("environment") / "out.json"
    script = str(pathlib.Path(asked.__file__))
    done = subprocess.run(
        [sys.executable, script, str(out)], capture_output=True, text=True, cwd=asked.ROOT
    )
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


@pytest.mark.parametrize("name", asked.GAMES)
def test_time_steps_are_the_games_that_training_plays(answers, name):
    told = answers[name]
    assert told["same"] == asked.GAMES[name]
    assert told["last"] - asked.COPIES <= told["first"] <= told["last"]
    assert told["first"] > 0 and told["last"] > 0, "games ended, and others began"
    assert (told["lost"] > 0) == name.startswith("ALE/"), "lives have the discount 0"


def test_tf_agents_own_driver_replay_and_training_work_on_them(answers):
    assert answers["driven"]["frames"] >= 60
    assert np.isfinite(answers["driven"]["losses"]).all()
