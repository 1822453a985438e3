"""Objectives draw anew while they train, and the same numbers whenever they are evaluated."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from training import draws


class Seeded:
    def __init__(self, seed):
        self.seeds = keras.random.SeedGenerator(seed)


@pytest.mark.parametrize("draw", [draws.normal, draws.uniform])
def test_training_draws_anew_and_goes_on_from_a_state(draw):
    model = Seeded(1)
    step = tf.function(lambda: draw(model, (3, 2), training=True), autograph=False)
    first = step()
    state = tf.identity(model.seeds.state.value)
    second = step()
    assert first.shape == (3, 2) and (first.numpy() != second.numpy()).all()
    model.seeds.state.assign(state)
    np.testing.assert_array_equal(step(), second)


@pytest.mark.parametrize("draw", [draws.normal, draws.uniform])
def test_an_evaluation_draws_the_same_and_changes_nothing(draw):
    model = Seeded(1)
    before = model.seeds.state.numpy()
    once, again = (draw(model, (3, 2), training=False) for _ in range(2))
    other = draw(model, (3, 2), training=False, number=1)
    np.testing.assert_array_equal(once, again)
    assert (once.numpy() != other.numpy()).all()
    np.testing.assert_array_equal(model.seeds.state.numpy(), before)


def test_rows_of_a_training_step_draw_anew_and_go_on_from_a_state():
    model = Seeded(1)
    state = tf.identity(model.seeds.state.value)
    first, second = (draws.of_rows(model, tf.zeros(4), (2, 3)).numpy() for _ in range(2))
    assert first.shape == (4, 2, 3) and (first != second).all()
    assert first.min() >= 0 and first.max() < 1
    model.seeds.state.assign(state)
    np.testing.assert_array_equal(draws.of_rows(model, tf.zeros(4), (2, 3)), first)


def test_a_row_draws_the_same_on_one_replica_and_on_two(monkeypatch):
    def of(replicas, replica, rows):
        context = SimpleNamespace(num_replicas_in_sync=replicas, replica_id_in_sync_group=replica)
        monkeypatch.setattr(tf.distribute, "get_replica_context", lambda: context)
        return draws.of_rows(Seeded(1), tf.zeros(rows), ()).numpy()

    np.testing.assert_array_equal(np.concatenate([of(2, 0, 3), of(2, 1, 3)]), of(1, 0, 6))
