"""What a threshold unit can learn, how soon, and what it cannot."""

import itertools

import numpy as np
import pytest

from kmodels import perceptron
from training.data import logic

TABLE = logic.read(None).train
X = np.hstack([TABLE.inputs, np.ones((4, 1), np.float32)]).astype(np.float64)  # with the bias


def errors_until_right(wanted, rounds=200):
    """How often Rosenblatt's rule moves weights that begin at 0; None where it never ends."""
    weights, errors = np.zeros(3), 0
    for _ in range(rounds):
        wrong = 0
        for x, t in zip(X, wanted, strict=True):
            fired = x @ weights >= 0
            if fired != t:
                weights += (int(t) - int(fired)) * x
                wrong += 1
        errors += wrong
        if not wrong:
            return errors
    return None


@pytest.mark.parametrize("gate", ["and", "or"])
def test_the_rule_ends_within_its_bound(gate):
    """Novikoff: at most (R / margin)**2 errors; the margin of the best line, looked for finely."""
    wanted = TABLE.labels[:, list(logic.GATES).index(gate)]
    signs = 2 * wanted - 1
    angles = np.linspace(0, np.pi, 181)
    turns = np.linspace(0, 2 * np.pi, 361)
    a, t = np.meshgrid(angles, turns)
    lines = np.stack([np.sin(a) * np.cos(t), np.sin(a) * np.sin(t), np.cos(a)], -1).reshape(-1, 3)
    margin = (lines @ X.T * signs).min(axis=1).max()
    bound = (np.linalg.norm(X, axis=1).max() / margin) ** 2
    errors = errors_until_right(wanted)
    assert margin > 0.1 and errors is not None and errors <= bound


def test_no_line_does_xor_and_the_rule_goes_round():
    wanted = TABLE.labels[:, 2]
    assert errors_until_right(wanted) is None
    best = 0
    for w in itertools.product(np.linspace(-2, 2, 41), repeat=3):
        best = max(best, int(((X @ np.array(w) >= 0) == wanted).sum()))
    assert best == 3


@pytest.mark.parametrize("wrong", [{"inputs": 0}, {"units": -1}])
def test_a_layer_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="must be at least 1"):
        perceptron.Config(**wrong)


def test_a_unit_fires_at_its_threshold():
    assert perceptron.fires(np.array([-1e-9, 0.0, 1e-9])).tolist() == [False, True, True]
