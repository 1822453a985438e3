"""The energy distance against its definition, pair by pair."""

import numpy as np
import pytest
import tensorflow as tf

from training.objectives.energy_distance import energy_distance


def by_pairs(x, y):
    def mean(pairs):
        return np.mean([np.linalg.norm(a - b) for a, b in pairs])

    own = [
        mean([(rows[i], rows[j]) for i in range(len(rows)) for j in range(len(rows)) if i != j])
        for rows in (x, y)
    ]
    return 2 * mean([(a, b) for a in x for b in y]) - own[0] - own[1]


@pytest.mark.parametrize("compile", [False, True])
def test_it_is_the_mean_over_pairs_and_masked_rows_do_not_count(compile):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 2, 3)), rng.normal(1, 2, size=(6, 2, 3))
    distance = tf.function(energy_distance, autograph=False, jit_compile=compile)
    extra = np.concatenate([x, rng.normal(size=(2, 2, 3))]).astype(np.float32)
    mask = np.array([1] * 5 + [0] * 2, np.float32)
    given = distance(tf.constant(extra), tf.constant(y.astype(np.float32)), tf.constant(mask))
    assert float(given) == pytest.approx(by_pairs(x.reshape(5, 6), y.reshape(6, 6)), rel=1e-5)


def test_it_is_nothing_between_samples_of_one_distribution_and_grows_with_what_is_missing():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [0, 4], [4, 0], [4, 4]])

    def sample(modes):
        return tf.constant(rng.normal(centres[rng.integers(0, modes, 400)], 0.1), tf.float32)

    distances = [float(energy_distance(sample(4), sample(n), tf.ones([400]))) for n in (4, 3, 2, 1)]
    assert abs(distances[0]) < 0.05 < distances[1] < distances[2] < distances[3]


def test_one_row_has_no_pairs():
    one = tf.constant([[1.0, 2.0]])
    assert np.isfinite(energy_distance(one, tf.zeros([3, 2]), tf.ones([1])))
