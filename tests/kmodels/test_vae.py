"""The variational autoencoder against closed forms: divergences, bounds, probabilistic PCA."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import vae
from kmodels.core.codecs.images import Images

COUNTS = {"mnist": 815_824, "burda": 425_284}
VARIANCE = 0.5


@pytest.fixture(scope="module")
def codec():
    rng = np.random.default_rng(0)
    files = [tf.io.encode_png(p).numpy() for p in rng.integers(0, 256, (3, 8, 8, 1), np.uint8)]
    return Images(labels=("a", "b"), size=8, channels=1, examples=tuple(files))


def opinionated(config, seed=0, scale=0.3):
    """A network whose weights are large enough to make a difference."""
    keras.utils.set_random_seed(seed)
    model = vae.build(config)
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0, scale, tuple(variable.shape)).astype(np.float32))
    return model


@pytest.fixture(scope="module")
def endpoints(codec):
    return vae.endpoints(opinionated(vae.PRESETS["tiny"]), codec)


@pytest.mark.parametrize(("preset", "count"), COUNTS.items())
def test_counts_are_those_of_the_papers(preset, count):
    assert vae.param_count(vae.PRESETS[preset]) == count


def test_a_variance_that_is_learnt_has_a_head_of_its_own():
    config = vae.PRESETS["frey"]
    stated = dataclasses.replace(config, variance=0.1)
    assert vae.param_count(config) - vae.param_count(stated) == (200 + 1) * 784
    model = vae.build(dataclasses.replace(config, size=4, hidden=(5,), latents=2))
    assert set(model.decoder(np.zeros((3, 2), np.float32))) == {"pixels", "logvar"}


def test_the_divergence_is_that_of_many_draws():
    rng = np.random.default_rng(0)
    mean, logvar = rng.normal(size=(2, 5, 3)).astype(np.float32)
    noise = rng.normal(size=(200_000, 5, 3)).astype(np.float32)
    z = vae.latents(mean, logvar, noise)
    terms = -0.5 * (logvar + noise**2) + 0.5 * z.numpy() ** 2  # log q - log p, constants gone
    drawn = terms.sum(-1)
    error = 4 * drawn.std(0) / np.sqrt(len(noise))
    assert (np.abs(vae.divergence(mean, logvar) - drawn.mean(0)) < error).all()
    assert float(vae.divergence(tf.zeros((1, 3)), tf.zeros((1, 3)))[0]) == 0


@pytest.mark.parametrize("variance", [None, 0.3])
@pytest.mark.parametrize("mean", ["logistic", "linear"])
def test_a_gaussian_pixel_has_the_density_of_its_mean_and_variance(variance, mean):
    config = vae.Config(
        size=4, hidden=(5,), latents=2, output="gaussian", variance=variance, mean=mean
    )
    model, rng = opinionated(config), np.random.default_rng(1)
    image, z = rng.uniform(size=(3, 4, 4, 1)), rng.normal(size=(3, 2)).astype(np.float32)
    made = {k: v.numpy().astype(float) for k, v in model.decoder(z).items()}
    mu = 1 / (1 + np.exp(-made["pixels"])) if mean == "logistic" else made["pixels"]
    var = np.exp(made["logvar"]) if variance is None else variance
    wanted = (-0.5 * np.log(2 * np.pi * var) - (image - mu) ** 2 / (2 * var)).sum((1, 2, 3))
    given = model.log_likelihood(image.astype(np.float32), z)
    np.testing.assert_allclose(given, wanted, rtol=1e-4)


def test_a_pixel_is_never_surer_than_a_step_of_grey():
    model = vae.build(vae.Config(size=4, hidden=(), latents=2, output="gaussian"))
    (bias,) = (v for v in model.decoder.variables if v.path == "decoder/logvar/bias")
    bias.assign(-1000 * tf.ones_like(bias))
    z = tf.zeros((1, 2))
    image = model.picture(model.decoder(z)["pixels"])
    densest = 16 * np.log(255 / np.sqrt(2 * np.pi))
    assert float(model.log_likelihood(image, z)[0]) == pytest.approx(densest, rel=1e-5)


def test_one_draw_is_an_estimate_of_the_bound_in_closed_form():
    model = opinionated(vae.PRESETS["tiny"])
    rng = np.random.default_rng(0)
    image = tf.constant(rng.integers(0, 2, (3, 8, 8, 1)), tf.float32)
    noise = tf.constant(rng.normal(size=(5000, 3, 2)), tf.float32)
    weights = vae.log_weights(model, image, noise)
    np.testing.assert_allclose(vae.bound(weights[:1]), weights[0], rtol=1e-6)
    q = model.encoder(image)
    z = vae.latents(q["mean"], q["logvar"], noise)
    known = [model.log_likelihood(image, one) for one in tf.unstack(z[:400])]
    closed = np.mean(known, axis=0) - vae.divergence(q["mean"], q["logvar"])
    error = 4 * np.std(known, axis=0) / np.sqrt(400) + 4 * np.std(weights, axis=0) / np.sqrt(5000)
    assert (np.abs(closed - np.mean(weights, axis=0)) < error).all()


def test_more_draws_make_a_tighter_bound():
    """L_k of the same 20,000 draws, in groups of k: it rises with k, by more than its error."""
    model = opinionated(vae.PRESETS["tiny"], scale=0.5)
    rng = np.random.default_rng(0)
    image = tf.constant(rng.integers(0, 2, (4, 8, 8, 1)), tf.float32)
    weights = vae.log_weights(model, image, rng.normal(size=(20_000, 4, 2)).astype(np.float32))
    before = None
    for k in (1, 5, 50, 1000):
        groups = tf.reshape(weights, (k, -1, 4))
        mean = tf.reduce_mean(vae.bound(groups), axis=0).numpy()
        assert before is None or (mean > before).all(), k
        before = mean
    assert (before < vae.bound(weights).numpy() + 0.1).all()


@pytest.fixture(scope="module")
def principal():
    """Data of a factor model, and the network that is probabilistic PCA of them."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 16)) + rng.normal(size=16)
    data += np.sqrt(VARIANCE) * rng.normal(size=data.shape)
    mean, covariance = data.mean(0), np.cov(data.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    loads = vectors[:, -3:] * np.sqrt(values[-3:] - VARIANCE)  # Tipping, Bishop 1999, equation 7
    inner = np.diag(values[-3:])  # M = W'W + variance
    cause = loads @ np.linalg.inv(inner)
    optimum = {
        "encoder/mean/kernel": cause,
        "encoder/mean/bias": -mean @ cause,
        "encoder/logvar/kernel": np.zeros((16, 3)),
        "encoder/logvar/bias": np.log(VARIANCE / values[-3:]),
        "decoder/pixels/kernel": loads.T,
        "decoder/pixels/bias": mean,
    }
    model_covariance = loads @ loads.T + VARIANCE * np.eye(16)
    _, logdet = np.linalg.slogdet(model_covariance)
    trace = np.trace(np.linalg.solve(model_covariance, covariance))
    likelihood = -0.5 * (16 * np.log(2 * np.pi) + logdet + trace)
    config = vae.Config(
        size=4, hidden=(), latents=3, output="gaussian", mean="linear", variance=VARIANCE
    )
    model = vae.build(config)
    assert set(optimum) == {v.path for v in model.trainable_variables}
    return model, optimum, data.reshape(-1, 4, 4, 1).astype(np.float32), likelihood


def put(model, values):
    for variable in model.trainable_variables:
        variable.assign(values[variable.path])


def exact(model, images):
    """The bound without chance: log weights are quadratic in the noise, and six points have the
    mean and the covariance of a standard normal."""
    points = np.sqrt(3) * np.concatenate([np.eye(3), -np.eye(3)])
    noise = np.broadcast_to(points[:, None], (6, len(images), 3)).astype(np.float32)
    return float(tf.reduce_mean(vae.log_weights(model, images, noise)))


def test_the_bound_of_a_linear_one_meets_probabilistic_pca(principal):
    model, optimum, images, likelihood = principal
    put(model, optimum)
    assert exact(model, images) == pytest.approx(likelihood, rel=1e-5)
    rng = np.random.default_rng(0)
    weights = vae.log_weights(model, images, rng.normal(size=(3, len(images), 3)).astype("f"))
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-3)  # q is the true posterior


def test_no_other_weights_exceed_it(principal):
    model, optimum, images, likelihood = principal
    rng = np.random.default_rng(0)
    for path, best in optimum.items():
        for scale in (0.05, 0.3):
            put(model, {**optimum, path: best + scale * rng.normal(size=np.shape(best))})
            assert exact(model, images) < likelihood - 1e-4, path


def test_at_the_optimum_the_gradient_is_0(principal):
    model, optimum, images, _ = principal
    put(model, optimum)
    points = np.sqrt(3) * np.concatenate([np.eye(3), -np.eye(3)])
    noise = tf.constant(np.broadcast_to(points[:, None], (6, len(images), 3)), tf.float32)
    with tf.GradientTape() as tape:
        mean = tf.reduce_mean(vae.log_weights(model, images, noise))
    for gradient in tape.gradient(mean, [v.value for v in model.trainable_variables]):
        np.testing.assert_allclose(gradient, 0, atol=2e-3)


def test_a_sample_is_the_picture_of_its_latent_and_its_seed_alone(endpoints):
    sample = tf.function(endpoints["sample"].function, autograph=False)
    seeds = tf.constant([7, -(2**63), 2**63 - 1, 7], tf.int64)
    made = sample(seed=seeds)
    decoded = endpoints["decode"].function(latent=made["latent"])
    np.testing.assert_array_equal(made["image"], decoded["image"])
    np.testing.assert_array_equal(made["image"][0], made["image"][3])
    assert (made["image"][0] != made["image"][1]).numpy().any()
    for row in range(4):
        alone = sample(seed=seeds[row : row + 1])
        for name, value in alone.items():
            np.testing.assert_array_equal(value[0], made[name][row], err_msg=name)


def test_a_reconstruction_is_the_picture_of_the_mean(endpoints, codec):
    files = tf.constant(codec.examples)
    seen = endpoints["encode"].function(image_bytes=files)
    assert seen["mean"].shape == seen["logvar"].shape == (3, 2)
    again = endpoints["decode"].function(latent=seen["mean"])["image"]
    made = endpoints["reconstruct"].function(image_bytes=files)
    np.testing.assert_array_equal(made["image"], again)
    for file, picture in zip(made["image_bytes"], made["image"], strict=True):
        np.testing.assert_array_equal(tf.io.decode_png(file), picture)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_latent_that_is_no_number_is_refused_with_its_row(endpoints, wrong):
    decode = tf.function(endpoints["decode"].function, autograph=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="latent of row 1 holds a number"):
        decode(latent=tf.constant([[0.0, 0.0], [0.0, wrong]]))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"hidden": (3, 0)}, "config.hidden"),
        ({"latents": 0}, "config.latents is 0"),
        ({"channels": 2}, "1 or 3"),
        ({"output": "gausian"}, "Did you mean 'gaussian'"),
        ({"activation": "gelu"}, "config.activation"),
        ({"output": "gaussian", "variance": 0.0}, "variance is 0.0; it must be above 0"),
        ({"output": "gaussian", "variance": float("nan")}, "variance is nan"),
        ({"variance": 0.1}, "no variance"),
        ({"mean": "linear"}, "a logistic mean"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        vae.Config(**wrong)
