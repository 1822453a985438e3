"""Smoothed and mixed labels, against their papers' formulas."""

import numpy as np
import tensorflow as tf

from training.data import targets

LABELS = np.array([0, 2, 1, 2], np.int32)
INPUTS = np.arange(8, dtype=np.float32).reshape(4, 2)


def made(seed=0, **how):
    how = {"smoothing": 0.0, "mixup": 0.0, **how}
    distributions = targets.distributions(3, **how)
    at = tf.constant([seed, 1], tf.int64)
    return [x.numpy() for x in distributions(tf.constant(INPUTS), tf.constant(LABELS), at)]


def test_nothing_is_changed_where_nothing_is_asked():
    assert targets.distributions(3, smoothing=0, mixup=0) is None


def test_smoothed_labels_keep_the_rest():
    inputs, labels = made(smoothing=0.3)
    np.testing.assert_allclose(labels, np.eye(3)[LABELS] * 0.7 + 0.1, rtol=1e-6)
    assert np.array_equal(inputs, INPUTS) and labels.dtype == np.float32


def test_inputs_and_labels_are_mixed_alike():
    inputs, labels = made(mixup=1.0)
    kept = float(labels[0, 0])
    assert 0 < kept < 1
    np.testing.assert_allclose(
        inputs, kept * INPUTS + (1 - kept) * np.roll(INPUTS, 1, 0), rtol=1e-5
    )
    hot = np.eye(3)[LABELS]
    np.testing.assert_allclose(labels, kept * hot + (1 - kept) * np.roll(hot, 1, 0), atol=1e-6)
    assert np.array_equal(inputs, made(mixup=1.0)[0])
    assert not np.array_equal(inputs, made(seed=1, mixup=1.0)[0])


def test_both_together_are_still_distributions():
    _, labels = made(smoothing=0.1, mixup=0.2)
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
    assert labels.min() > 0.1 / 3 - 1e-6


def test_the_share_that_is_kept_is_of_a_beta_distribution():
    draws = np.array([targets._beta(0.2, tf.constant([n, 7], tf.int64)) for n in range(600)])
    assert np.isfinite(draws).all() and abs(draws.mean() - 0.5) < 0.06
    assert abs(draws.var() - 1 / (4 * (2 * 0.2 + 1))) < 0.02
