"""Objectives draw anew while they train, and the same numbers whenever they are evaluated."""

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
