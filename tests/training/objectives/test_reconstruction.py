"""What is measured of a picture that is made again, and of what the encoder is shown."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import autoencoder
from training.objectives.reconstruction import reconstruction, shown

SHAPE = (6, 4, 4, 1)


def made(**changes):
    keras.utils.set_random_seed(0)
    return autoencoder.build(
        autoencoder.Config(**{"size": 4, "hidden": (5,), "code": 2, **changes})
    )


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return {
        "image": tf.constant(rng.uniform(size=SHAPE), tf.float32),
        "mask": tf.constant([1.0, 1, 1, 1, 0, 0]),
    }


def test_cross_entropy_and_squared_error_are_summed_over_pixels(batch):
    image = batch["image"].numpy()[:4].astype(float)
    model = made()
    p = model.picture(model(batch["image"])).numpy()[:4].astype(float)
    loss, logs = reconstruction(model, batch, training=False)
    entropy = -(image * np.log(p) + (1 - image) * np.log(1 - p)).sum((1, 2, 3)).mean()
    assert float(loss) == pytest.approx(entropy, rel=1e-5)
    squared = ((p - image) ** 2).sum((1, 2, 3)).mean()
    assert float(logs["squared_error"]) == pytest.approx(squared, rel=1e-5)
    assert float(logs["weight"]) == 4
    loss, logs = reconstruction(made(output="linear"), batch, training=False)
    assert float(loss) == float(logs["squared_error"])


def test_pixels_are_missing_from_what_is_shown_and_not_from_what_is_wanted(batch):
    model = made(noise=0.4)
    image = tf.ones((500, 4, 4, 3))
    seen = shown(model, image, training=True).numpy()
    assert 0.37 < (seen == 0).mean() < 0.43
    assert (seen.min(-1) == seen.max(-1)).all(), "a pixel is missing in all its colours"
    other = shown(model, image, training=True).numpy()
    assert (seen != other).any()
    once, again = (shown(model, image, training=False).numpy() for _ in range(2))
    np.testing.assert_array_equal(once, again)
    given = shown(model, batch["image"], training=False)
    _, logs = reconstruction(model, batch, training=False)
    error = tf.reduce_sum((model.picture(model(given)) - batch["image"]) ** 2, (1, 2, 3))
    assert float(logs["squared_error"]) == pytest.approx(float(tf.reduce_mean(error[:4])))
    assert shown(made(), image, training=True) is image


def test_compiled_it_says_the_same(batch):
    model = made(noise=0.4)

    def loss():
        return reconstruction(model, batch, training=False)[0]

    compiled = tf.function(loss, jit_compile=True, autograph=False)
    assert float(compiled()) == pytest.approx(float(loss()), rel=1e-5)
