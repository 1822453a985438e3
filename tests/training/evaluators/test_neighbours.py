"""What features know is measured as it is."""

import numpy as np
import pytest
import tensorflow as tf

from kmodels import simclr
from training import recipes
from training.evaluators import neighbours

RNG = np.random.default_rng(0)
LABELS = np.arange(120) % 3
BOTH = [neighbours.neighbour_accuracy, neighbours.probe_accuracy]


def clouds(width):
    """Rows around three directions; the wider, the less they tell."""
    middles = 3 * np.eye(4)[LABELS]
    return (middles + width * RNG.normal(size=middles.shape)).astype(np.float32)


@pytest.mark.parametrize("accuracy", BOTH)
def test_clear_features_are_told_apart_and_noise_is_not(accuracy):
    clear = accuracy(clouds(0.1), LABELS, clouds(0.1), LABELS, classes=3)
    noise = accuracy(clouds(1e3), LABELS, clouds(1e3), LABELS, classes=3)
    assert clear == 1.0 and noise < 0.6


def test_neighbours_are_judged_by_direction_and_vote():
    known = np.float32([[1, 0]] * 3 + [[0, 1]] * 30)
    labels = np.array([0] * 3 + [1] * 30)
    asked = np.float32([[5, 0.1], [0.1, 5]])
    right = neighbours.neighbour_accuracy(known, labels, asked, np.array([0, 1]), classes=2)
    assert right == 1.0, "three near ones outweigh seventeen far ones"


def test_the_probe_finds_the_least_cross_entropy():
    rows, labels = clouds(2.0), LABELS
    weights = neighbours._fit(tf.constant(rows), tf.constant(labels), 3)
    x = np.concatenate([rows, np.ones((len(rows), 1))], 1)
    said = tf.nn.softmax(x @ weights).numpy()
    gradient = x.T @ (said - np.eye(3)[labels]) / len(x) + neighbours.DECAY * weights
    assert np.abs(gradient).max() < 1e-3


def test_an_evaluation_shows_both_accuracies_and_neighbours():
    config = simclr.PRESETS["tiny"]
    module = recipes.load("simclr")
    prepared = module.prepare(config, module.recipe(config), None)
    look = neighbours.make(lambda seen: tf.reshape(seen, [-1, 64]), prepared)
    shown = look()
    assert shown["neighbours"].dtype == np.uint8 and shown["neighbours"].ndim == 3
    assert shown["probe_accuracy"] > 0.85 and shown["neighbour_accuracy"] > 0.85
