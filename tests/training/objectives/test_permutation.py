"""The loss is that of the permutation that was drawn, and chance where nothing can be known."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import jigsaw
from training import draws
from training.objectives.permutation import permutation
from training.step import judge

TINY = jigsaw.PRESETS["tiny"]


def made(**changes):
    keras.utils.set_random_seed(0)
    return jigsaw.build(dataclasses.replace(TINY, **changes))


@pytest.fixture
def batch():
    image = tf.random.stateless_normal((6, 16, 16, 1), (1, 2))
    return {"image": image, "mask": tf.constant([1.0, 1, 1, 1, 0, 0])}


def test_loss_and_error_are_means_over_the_puzzles_that_count(batch, lively):
    model = lively(made(), stddev=0.3)
    drawn = draws.added(batch, model, training=False)
    loss, logs = permutation(model, drawn, training=False)
    tiles, answer = model.puzzles(drawn)
    said = np.log(tf.nn.softmax(model(tiles)).numpy().astype(float))
    rows = np.arange(4)
    assert float(loss) == pytest.approx(-said[rows, answer[:4]].mean(), rel=1e-5)
    assert float(logs["error"]) == np.mean(said[:4].argmax(axis=1) != answer[:4])
    assert float(logs["weight"]) == 4


def test_a_network_that_cannot_decide_is_wrong(batch):
    model = made()
    head = model.head.get_layer("logits")
    head.kernel.assign(tf.zeros_like(head.kernel))
    logs = judge(permutation, model, batch)
    assert float(logs["error"]) == 1.0
    assert float(logs["loss"]) == pytest.approx(math.log(TINY.permutations), rel=1e-6)


def test_the_same_draws_give_the_same_loss(batch):
    model = made()
    drawn = draws.added(batch, model, training=True)
    one, again = (float(permutation(model, drawn, training=False)[0]) for _ in range(2))
    other = draws.added(batch, model, training=True)
    assert one == again != float(permutation(model, other, training=False)[0])
