"""What is measured of a picture that is made again, and of what the encoder is shown."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import autoencoder
from training import draws
from training.objectives.reconstruction import reconstruction, shown
from training.step import judge

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
    model = made(noise=0.4, channels=3)
    image = tf.ones((500, 4, 4, 3))
    seen = shown(model, draws.added({"image": image}, model, training=True)).numpy()
    assert 0.37 < (seen == 0).mean() < 0.43
    assert (seen.min(-1) == seen.max(-1)).all(), "a pixel is missing in all its colours"
    model = made(noise=0.4)
    drawn = draws.added(batch, model, training=False)
    given = shown(model, drawn)
    _, logs = reconstruction(model, drawn, training=False)
    error = tf.reduce_sum((model.picture(model(given)) - batch["image"]) ** 2, (1, 2, 3))
    assert float(logs["squared_error"]) == pytest.approx(float(tf.reduce_mean(error[:4])))
    assert shown(made(), batch) is batch["image"] and not made().draws


def test_compiled_it_says_the_same(batch):
    model = made(noise=0.4)
    plain, compiled = (
        judge(reconstruction, model, batch, compile=c)["loss"] for c in (False, True)
    )
    assert float(compiled) == pytest.approx(float(plain), rel=1e-5)
