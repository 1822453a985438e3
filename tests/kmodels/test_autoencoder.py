"""The autoencoder against its counts and principal component analysis; what it refuses."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import autoencoder
from kmodels.core.codecs.images import Images

TINY = autoencoder.PRESETS["tiny"]
LINEAR = autoencoder.Config(size=4, hidden=(), code=3, output="linear")


@pytest.fixture(scope="module")
def codec():
    rng = np.random.default_rng(0)
    files = [tf.io.encode_png(p).numpy() for p in rng.integers(0, 256, (3, 8, 8, 1), np.uint8)]
    return Images(labels=("a", "b"), size=8, channels=1, examples=tuple(files))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return autoencoder.build(TINY)


@pytest.fixture(scope="module")
def endpoints(model, codec):
    return autoencoder.endpoints(model, codec)


def test_the_papers_network_has_its_parameters():
    assert autoencoder.param_count(autoencoder.PRESETS["mnist"]) == 2_837_314


def test_the_decoder_mirrors_the_encoder():
    model = autoencoder.build(autoencoder.Config(size=4, hidden=(12, 6), code=2))
    sizes = [tuple(v.shape) for v in model.trainable_variables if len(v.shape) == 2]
    assert sizes == [(16, 12), (12, 6), (6, 2), (2, 6), (6, 12), (12, 16)]


@pytest.mark.parametrize("channels", [1, 3])
def test_convolutions_halve_and_double_the_side(channels):
    config = autoencoder.Config(
        size=8, channels=channels, kind="convolutional", hidden=(4, 6), code=5
    )
    model = autoencoder.build(config)
    assert config.inner == (2, 2, 6)
    assert model(np.zeros((2, 8, 8, channels), np.float32)).shape == (2, 8, 8, channels)
    assert model.encoder(np.zeros((2, 8, 8, channels), np.float32)).shape == (2, 5)
    assert model.count_params() == autoencoder.param_count(config)


def test_a_linear_one_can_be_principal_component_analysis_and_no_better():
    """At the components its error is that of PCA; whatever moves its weights makes it larger."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(200, 16)) @ rng.normal(size=(16, 16)) + rng.normal(size=16)
    mean = data.mean(0)
    values, vectors = np.linalg.eigh(np.cov(data.T, bias=True))
    axes = vectors[:, -3:]
    best = values[:-3].sum()
    model = autoencoder.build(LINEAR)
    optimum = {
        "encoder/code/kernel": axes,
        "encoder/code/bias": -mean @ axes,
        "decoder/pixels/kernel": axes.T,
        "decoder/pixels/bias": mean,
    }
    assert set(optimum) == {v.path for v in model.trainable_variables}
    pictures = tf.constant(data.reshape(-1, 4, 4, 1), tf.float32)

    def error():
        made = model.picture(model(pictures))
        return float(tf.reduce_mean(tf.reduce_sum((made - pictures) ** 2, (1, 2, 3))))

    for variable in model.trainable_variables:
        variable.assign(optimum[variable.path])
    assert error() == pytest.approx(best, rel=1e-4)
    for variable in model.trainable_variables:
        for scale in (0.3, 1.0):
            variable.assign(optimum[variable.path] + scale * rng.normal(size=variable.shape))
            assert error() > best * 1.0001, variable.path
        variable.assign(optimum[variable.path])


def test_pixels_are_bent_where_they_are_logistic(model):
    seen = np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype(np.float32)
    pixels = model(seen).numpy()
    np.testing.assert_allclose(model.picture(pixels), 1 / (1 + np.exp(-pixels)), rtol=1e-6)
    assert autoencoder.build(LINEAR).picture(pixels) is pixels


def test_a_reconstruction_is_the_decoded_code_and_its_error_that_of_the_picture(
    endpoints, codec, model
):
    files = tf.constant(codec.examples)
    made = endpoints["reconstruct"].function(image_bytes=files)
    code = endpoints["encode"].function(image_bytes=files)["code"]
    decoded = endpoints["decode"].function(code=code)
    np.testing.assert_array_equal(made["image"], decoded["image"])
    for file, picture in zip(made["image_bytes"], made["image"], strict=True):
        np.testing.assert_array_equal(tf.io.decode_png(file), picture)
    seen = codec.read(files)
    wanted = ((model.picture(model(seen)) - seen).numpy() ** 2).sum((1, 2, 3))
    np.testing.assert_allclose(made["squared_error"], wanted, rtol=1e-5)


def test_a_row_alone_has_the_bits_it_has_in_company(codec):
    """Of layers so wide that a vector's product is summed in another order."""
    keras.utils.set_random_seed(0)
    config = dataclasses.replace(TINY, hidden=(600, 600), code=500)
    wide = autoencoder.endpoints(autoencoder.build(config), codec)["encode"]
    answer = tf.function(wide.function, autograph=False)
    together = answer(image_bytes=tf.constant(codec.examples))["code"]
    for row, file in enumerate(codec.examples):
        np.testing.assert_array_equal(
            answer(image_bytes=tf.constant([file]))["code"][0], together[row]
        )


def test_a_code_that_is_no_number_is_refused_with_its_row(endpoints):
    codes = tf.constant([[0.0] * 4, [0.0, float("nan"), 0.0, 0.0]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="code of row 1 holds a number"):
        endpoints["decode"].function(code=codes)
    with pytest.raises(tf.errors.InvalidArgumentError, match="image 1 is neither"):
        endpoints["encode"].function(
            image_bytes=tf.constant([endpoints["encode"].example["image_bytes"][0], b"x"])
        )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"hidden": (3, 0)}, "config.hidden"),
        ({"code": 0}, "config.code is 0"),
        ({"channels": 2}, "1 or 3"),
        ({"noise": 1.0}, r"\[0, 1\)"),
        ({"output": "linera"}, "Did you mean 'linear'"),
        ({"kind": "recurrent"}, "config.kind"),
        ({"activation": "gelu"}, "config.activation"),
        ({"kind": "convolutional", "size": 28, "hidden": (4, 4, 4)}, "28 cannot be halved by 3"),
        ({"kind": "convolutional", "hidden": ()}, "at least one"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        autoencoder.Config(**wrong)
