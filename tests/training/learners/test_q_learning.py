"""Q-learning on tf-agents: targets, losses and updates are those of NumPy."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.training.learners import q_learning_answers as asked

DISCOUNT, RHO, EPSILON = 0.99, 0.95, 0.01


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the process found, by "dqn/..." and "double/..."."""
    out = tmp_path_factory.mktemp("q_learning") / "out.npz"
    done = subprocess.run(
        [sys.executable, str(pathlib.Path(asked.__file__)), str(out)],
        capture_output=True,
        text=True,
        cwd=asked.ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert "Gym has been unmaintained" not in done.stderr
    return dict(np.load(out))


def weights(answers, kind, which, step):
    return [answers[f"{kind}/{which}/{step}/{j}"].astype(np.float64) for j in range(4)]


def worths(weights, states):
    hidden = np.maximum(states @ weights[0] + weights[1], 0)
    return hidden @ weights[2] + weights[3], hidden


def differences(kind, online, target, *, done=None):
    """Temporal differences [B], with the network's hidden units and the batch."""
    batch = asked.batch(type("Shape", (), {"observation": (4,), "actions": 3}))
    rows = np.arange(8)
    mine, hidden = worths(online, batch["state"])
    ahead = worths(target, batch["next_state"])[0]
    chosen = worths(online, batch["next_state"])[0] if kind == "double" else ahead
    ends = batch["done"] if done is None else done
    wanted = batch["reward"] + DISCOUNT * ~ends * ahead[rows, chosen.argmax(-1)]
    return wanted - mine[rows, batch["action"]], hidden, batch


def huber(errors):
    return np.where(np.abs(errors) < 1, errors**2 / 2, np.abs(errors) - 0.5)


def gradient(errors, hidden, batch, online, importance=1.0):
    """Of the mean Huber loss, by hand."""
    back = np.zeros((8, 3))
    back[np.arange(8), batch["action"]] = -importance * np.clip(errors, -1, 1) / 8
    inner = back @ online[2].T * (hidden > 0)
    return [batch["state"].T @ inner, inner.sum(0), hidden.T @ back, back.sum(0)]


@pytest.mark.parametrize("kind", ["dqn", "double"])
def test_updates_are_those_of_numpy_and_the_target_follows_every_third(answers, kind):
    online, target = (weights(answers, kind, which, 0) for which in ("online", "target"))
    squares, means = ([np.zeros_like(w) for w in online] for _ in range(2))
    for step in range(asked.STEPS):
        errors, hidden, batch = differences(kind, online, target)
        assert abs(answers[f"{kind}/loss"][step] - huber(errors).mean()) < 1e-5
        assert step or (np.abs(errors) > 1).any(), "some are cut off"
        for i, g in enumerate(gradient(errors, hidden, batch, online)):
            squares[i] = RHO * squares[i] + (1 - RHO) * g**2
            means[i] = RHO * means[i] + (1 - RHO) * g
            online[i] = online[i] - asked.RATE * g / np.sqrt(squares[i] - means[i] ** 2 + EPSILON)
        if (step + 1) % asked.EVERY == 0:
            target = [w.copy() for w in online]
        for which, wanted in (("online", online), ("target", target)):
            for mine, theirs in zip(wanted, weights(answers, kind, which, step + 1), strict=True):
                np.testing.assert_allclose(theirs, mine, atol=2e-5)


def test_the_end_of_a_game_hides_what_comes_after_and_only_that(answers):
    online, target = (weights(answers, "dqn", which, 0) for which in ("online", "target"))
    given = answers["dqn/loss"][0]
    for done in (np.zeros(8, bool), np.ones(8, bool), np.arange(8) == 2):
        errors, _, _ = differences("dqn", online, target, done=done)
        assert abs(huber(errors).mean() - given) > 1e-3


def test_double_chooses_by_the_network_and_values_by_the_target(answers):
    assert abs(answers["dqn/loss"][0] - answers["double/loss"][0]) > 1e-3


@pytest.mark.parametrize("kind", ["dqn", "double"])
def test_each_step_counts_by_its_importance_and_its_difference_is_told(answers, kind):
    """An update of prioritized replay (Schaul et al. 2016, algorithm 1), in two parts."""
    online, target = (weights(answers, kind, which, 0) for which in ("online", "target"))
    errors, hidden, batch = differences(kind, online, target)
    importance = np.linspace(0.1, 1, 8)
    wanted = (importance * huber(errors)).mean()
    assert abs(answers[f"{kind}/weighed"] - wanted) < 1e-5
    np.testing.assert_allclose(answers[f"{kind}/told"][:, 0], np.arange(100, 108))
    np.testing.assert_allclose(answers[f"{kind}/told"][:, 1], np.abs(errors), rtol=1e-4, atol=1e-5)
    for i, g in enumerate(gradient(errors, hidden, batch, online, importance)):
        square, mean = (1 - RHO) * g**2, (1 - RHO) * g
        moved = online[i] - asked.RATE * g / np.sqrt(square - mean**2 + EPSILON)
        np.testing.assert_allclose(answers[f"{kind}/weighed/{i}"], moved, atol=2e-5)


@pytest.mark.parametrize("kind", ["dqn", "double"])
def test_the_update_is_that_of_tf_agents_own_training(answers, kind):
    mine = answers[f"{kind}/online/{asked.STEPS}/0"]
    np.testing.assert_allclose(mine, answers[f"{kind}/by_tf_agents"], atol=1e-5)
