"""Training draws anew for the rows of a batch; evaluations always draw the same."""

import keras
import numpy as np
import tensorflow as tf

from kmodels.core.rows import Draw
from training import draws

BATCH = {"label": tf.range(4)}


class Seeded:
    def __init__(self, seed=1):
        self.draws = {"noise": Draw("normal", (3, 2)), "chance": Draw("uniform", ())}
        self.seeds = keras.random.SeedGenerator(seed)


def drawn(model, *, training, rows=4):
    added = draws.added({"label": tf.range(rows)}, model, training=training)
    return {key: added[key].numpy() for key in model.draws}


def test_a_batch_gets_numbers_for_each_row():
    added = draws.added(BATCH, Seeded(), training=True)
    assert set(added) == {"label", "noise", "chance"}
    assert added["noise"].shape == (4, 3, 2) and added["chance"].shape == (4,)
    many = drawn(Seeded(), training=True, rows=3000)
    assert abs(many["noise"].mean()) < 0.03 and abs(many["noise"].std() - 1) < 0.03
    assert many["chance"].min() >= 0 and many["chance"].max() < 1
    assert abs(many["chance"].mean() - 0.5) < 0.03


def test_training_draws_anew_and_goes_on_from_a_state():
    model = Seeded()
    first = drawn(model, training=True)
    state = tf.identity(model.seeds.state.value)
    second = drawn(model, training=True)
    assert all((first[key] != second[key]).all() for key in first)
    model.seeds.state.assign(state)
    again = drawn(model, training=True)
    assert all(np.array_equal(again[key], second[key]) for key in again)


def test_an_evaluation_draws_the_same_and_changes_nothing():
    model = Seeded()
    before = model.seeds.state.numpy()
    once, again = (drawn(model, training=False) for _ in range(2))
    assert all(np.array_equal(once[key], again[key]) for key in once)
    np.testing.assert_array_equal(model.seeds.state.numpy(), before)
    other = drawn(Seeded(2), training=False)
    assert all(np.array_equal(once[key], other[key]) for key in once)


def test_a_model_that_draws_nothing_leaves_the_batch():
    assert draws.added(BATCH, object(), training=True) is BATCH
