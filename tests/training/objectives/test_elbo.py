"""The bound as it is learnt: its parts, its draws, and what Bernoulli pixels are told."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import vae
from training import draws
from training.objectives.elbo import elbo, seen
from training.step import judge


def made(**changes):
    keras.utils.set_random_seed(0)
    return vae.build(vae.Config(**{"size": 4, "hidden": (5,), "latents": 2, **changes}))


def drawn(model, batch, *, training=False):
    return draws.added(batch, model, training=training)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    image = tf.constant(rng.uniform(size=(6, 4, 4, 1)), tf.float32)
    return {"image": image, "mask": tf.constant([1.0, 1, 1, 1, 0, 0])}


def test_the_loss_is_a_sum_over_pixels_and_the_divergence(batch):
    """Not a mean over pixels, which would weigh the divergence 16 times too much."""
    model = made(output="gaussian", variance=0.1)
    for variable in model.decoder.trainable_variables:
        variable.assign(tf.zeros_like(variable))  # every pixel's mean is 0.5, whatever the latent
    image = batch["image"].numpy()[:4].astype(float)
    density = -0.5 * np.log(2 * np.pi * 0.1) - (image - 0.5) ** 2 / 0.2
    loss, logs = elbo(model, drawn(model, batch), training=False)
    assert float(logs["reconstruction"]) == pytest.approx(-density.sum((1, 2, 3)).mean(), rel=1e-5)
    q = {k: v.numpy()[:4].astype(float) for k, v in model.encoder(batch["image"]).items()}
    kl = 0.5 * (q["mean"] ** 2 + np.exp(q["logvar"]) - 1 - q["logvar"]).sum(-1).mean()
    assert float(logs["kl"]) == pytest.approx(kl, rel=1e-5)
    assert float(loss) == pytest.approx(float(logs["kl"] + logs["reconstruction"]))
    assert float(logs["weight"]) == 4


def test_it_is_drawn_and_not_taken_from_the_mean(batch):
    """An evaluation too explains pictures by latents as uncertain as the encoder says."""
    model = made(output="gaussian", variance=0.1)
    losses = {}
    for deviation in (1e-3, 3.0):
        for variable in model.encoder.trainable_variables:
            if "logvar" in variable.path:
                variable.assign(tf.zeros_like(variable))
                if "bias" in variable.path:
                    variable.assign(tf.fill(variable.shape, 2 * np.log(deviation)))
        _, logs = elbo(model, drawn(model, batch), training=False)
        losses[deviation] = float(logs["reconstruction"])
    assert losses[3.0] != pytest.approx(losses[1e-3], rel=1e-3)


def test_training_draws_anew_and_evaluations_repeat(batch):
    model = made()
    for training, different in ((True, 3), (False, 1)):
        batches = [drawn(model, batch, training=training) for _ in range(3)]
        losses = {float(elbo(model, one, training=training)[0]) for one in batches}
        assert len(losses) == different


def test_grey_becomes_black_or_white_as_often_as_it_is_bright():
    image = tf.fill((2000, 4, 4, 1), 0.3)
    model = made()
    pictures = seen(model, drawn(model, {"image": image}, training=True)).numpy()
    assert set(np.unique(pictures)) == {0.0, 1.0} and 0.28 < pictures.mean() < 0.32
    assert (pictures != seen(model, drawn(model, {"image": image}, training=True)).numpy()).any()
    ends = tf.constant([0.0, 1.0])[:, None, None, None] * tf.ones((1, 4, 4, 1))
    np.testing.assert_array_equal(seen(model, drawn(model, {"image": ends})), ends)
    gaussian = made(output="gaussian")
    assert seen(gaussian, {"image": image}) is image and set(gaussian.draws) == {"noise"}


def test_compiled_it_says_the_same(batch):
    model = made()
    plain, compiled = (judge(elbo, model, batch, compile=c)["loss"] for c in (False, True))
    assert float(compiled) == pytest.approx(float(plain), rel=1e-5)
