"""Bounds from many draws, a few at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import vae
from training import recipes
from training.evaluators import likelihood


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = vae.build(vae.PRESETS["tiny"])
    rng = np.random.default_rng(0)
    for variable in made.trainable_variables:
        variable.assign_add(rng.normal(0, 0.5, tuple(variable.shape)).astype(np.float32))
    return made


@pytest.mark.parametrize("draws", [1, 7, 50, 150])
def test_draws_in_parts_are_draws_at_once(model, draws):
    image = tf.cast(np.random.default_rng(0).uniform(size=(3, 8, 8, 1)) < 0.5, tf.float32)
    chunk = min(draws, likelihood.CHUNK)
    noise = [
        tf.random.stateless_normal((chunk, 3, 2), seed=[4, i], alg="philox")
        for i in range(draws // chunk)
    ]
    weights = vae.log_weights(model, image, tf.concat(noise, axis=0)).numpy().astype(float)
    wanted = np.log(np.exp(weights).mean(0))
    given = tf.function(
        lambda: likelihood.bound(model, image, draws=draws, seed=4), autograph=False
    )()
    np.testing.assert_allclose(given, wanted, rtol=1e-5)


@pytest.mark.parametrize("draws", [0, -50, 51, 120])
def test_a_number_of_draws_that_cannot_be_cut_is_a_sentence(model, draws):
    with pytest.raises(ValueError, match=f"There are {draws} draws"):
        likelihood.bound(model, tf.zeros((1, 8, 8, 1)), draws=draws)


def test_an_evaluation_tells_bounds_that_rise_and_repeat(model):
    config, module = vae.PRESETS["tiny"], recipes.load("vae")
    look = likelihood.bounds(model, module.prepare(config, module.recipe(config), None))
    told = look()
    assert told["bound_1"] < told["bound_50"] < 0
    assert told == look()
