"""NT-Xent is what equation 1 says, pair by pair, and so is its gradient."""

import math

import numpy as np
import pytest
import tensorflow as tf

from training.objectives.contrastive import contrastive


class Given:
    """A network that has made up its mind: pictures are their projections."""

    def __init__(self, temperature):
        self.temperature = temperature

    def __call__(self, pictures, training):
        return pictures[..., 0, 0, :]


def pictures(z):
    return {"image": tf.reshape(z, [*z.shape[:2], 1, 1, z.shape[-1]])}


def brute_force(z, temperature):
    """Equation 1 for every ordered pair, in float64."""
    views = np.asarray(z, np.float64).reshape(-1, z.shape[-1])
    cosine = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in views] for a in views]
    losses = []
    for i in range(len(views)):
        others = [math.exp(cosine[i][k] / temperature) for k in range(len(views)) if k != i]
        losses.append(-math.log(math.exp(cosine[i][i ^ 1] / temperature) / sum(others)))
    return np.mean(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_the_loss_is_that_of_all_pairs(temperature):
    z = tf.random.stateless_normal([5, 2, 3], [1, 2])
    loss, logs = contrastive(Given(temperature), pictures(z), training=True)
    np.testing.assert_allclose(loss, brute_force(z, temperature), rtol=1e-5)
    assert logs["weight"] == 5 and 0 < logs["error"] <= 1


def test_the_gradient_is_that_of_all_pairs():
    z = tf.random.stateless_normal([3, 2, 4], [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss, _ = contrastive(Given(0.5), pictures(z), training=True)
    gradient = tape.gradient(loss, z).numpy()
    for place in np.ndindex(*z.shape):
        moved = [np.array(z, np.float64) for _ in range(2)]
        moved[0][place] += 1e-5
        moved[1][place] -= 1e-5
        slope = (brute_force(moved[0], 0.5) - brute_force(moved[1], 0.5)) / 2e-5
        np.testing.assert_allclose(gradient[place], slope, atol=1e-5)


def test_views_that_are_all_alike_leave_a_guess_among_all_others():
    loss, logs = contrastive(Given(0.1), pictures(tf.ones([6, 2, 3])), training=True)
    np.testing.assert_allclose(loss, math.log(2 * 6 - 1), rtol=1e-6)
    assert logs["error"] == 1


def test_twins_that_are_alike_and_unlike_all_others_are_found():
    z = tf.repeat(tf.eye(4)[:, None], 2, axis=1)
    loss, logs = contrastive(Given(0.05), pictures(z), training=True)
    assert loss < 1e-6 and logs["error"] == 0
