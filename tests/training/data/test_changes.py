"""Colour noise: along which axes, and how far."""

import numpy as np
import tensorflow as tf

from training.data import changes

RNG = np.random.default_rng(0)
PIXELS = RNG.normal(0, 1, (5000, 3)) @ RNG.normal(0, 30, (3, 3)) + 120
COVARIANCE = np.cov(PIXELS.T, bias=True)


def noise(count=4000, n=0):
    pictures = tf.random.stateless_uniform([count, 2, 3, 3], [0, 0], 0, 255)
    changed = changes.coloured(COVARIANCE)(pictures, tf.constant([n, n], tf.int64))
    return (changed - pictures).numpy()


def test_a_picture_is_shifted_as_a_whole():
    found = noise(5)
    np.testing.assert_allclose(found, np.broadcast_to(found[:, :1, :1], found.shape), atol=1e-4)
    assert np.array_equal(found, noise(5)) and not np.array_equal(found, noise(5, n=1))


def test_the_noise_lies_along_the_axes_of_the_covariance():
    """Its own covariance has the same eigenvectors, and (0.1 x the eigenvalue)^2 as eigenvalues."""
    shifts = noise()[:, 0, 0] / 255
    values, vectors = np.linalg.eigh(COVARIANCE / 255**2)
    along = shifts @ vectors
    np.testing.assert_allclose(along.std(axis=0), 0.1 * values, rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(along.T), np.eye(3), atol=0.05)
    assert np.abs(along.mean(axis=0) / along.std(axis=0)).max() < 0.05
