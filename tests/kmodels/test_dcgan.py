"""DCGAN: the counts of its authors' program, its rules, and what it answers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import dcgan
from kmodels.core.codecs.images import Images

TINY = dcgan.PRESETS["tiny"]


def test_counts_are_those_of_the_authors_program():
    config = dcgan.PRESETS["dcgan-64"]
    assert dcgan.generator_count(config) == 18_885_760
    assert dcgan.discriminator_count(config) == 17_232_768


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_counts_are_those_of_real_networks_of_any_size(size):
    config = dcgan.Config(size=size, width=2, latent=3)
    model = dcgan.build(config)
    for network in ("generator", "discriminator"):
        real = sum(np.prod(v.shape) for v in getattr(model, network).trainable_variables)
        assert real == getattr(dcgan, f"{network}_count")(config)
    assert model(tf.zeros([2, 3])).shape == (2, size, size, 3)
    assert model.judge(tf.zeros([2, size, size, 3])).shape == (2,)


def kinds(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


def test_the_rules_of_section_3():
    model = dcgan.build(dcgan.Config(width=2))
    make, judge = model.generator, model.discriminator
    convolutions = [*kinds(make, keras.layers.Conv2DTranspose), *kinds(judge, keras.layers.Conv2D)]
    assert {layer.strides for layer in convolutions} == {(2, 2)}
    assert {layer.kernel_size for layer in convolutions} == {(5, 5)}
    assert not any(layer.use_bias for layer in convolutions)
    norms = [
        [n.name for n in kinds(network, keras.layers.BatchNormalization)]
        for network in (make, judge)
    ]
    assert norms[0] == ["generator_norm_project", *(f"generator_norm_{i}" for i in range(3))]
    assert norms[1] == [f"discriminator_norm_{i}" for i in (1, 2, 3)], "none on the input's layer"
    assert make.layers[-1].activation is keras.activations.tanh
    assert {round(layer.negative_slope, 3) for layer in kinds(judge, keras.layers.LeakyReLU)} == {
        0.2
    }


def test_weights_begin_as_section_4_says():
    keras.utils.set_random_seed(0)
    model = dcgan.build(dcgan.Config(size=32, width=32))
    for variable in model.trainable_variables:
        if variable.name == "beta":
            assert not variable.numpy().any()
            continue
        mean = 1.0 if variable.name == "gamma" else 0.0
        off = variable.numpy() - mean
        assert abs(off.mean()) < 0.01 and off.std() == pytest.approx(0.02, rel=0.25)


def test_statistics_are_frozen_when_it_answers():
    keras.utils.set_random_seed(0)
    model, rng = dcgan.build(TINY), np.random.default_rng(0)
    for variable in model.generator.trainable_variables:
        variable.assign_add(rng.normal(0, 0.3, tuple(variable.shape)).astype(np.float32))
    codec = Images(labels=("0",), size=16, channels=1, examples=(b"", b""))
    generate = tf.function(dcgan.endpoints(model, codec)["generate"].function, autograph=False)
    before = [v.numpy() for v in model.weights]
    together = generate(seed=tf.constant([5, 6, 7], tf.int64))["image_bytes"].numpy()
    alone = generate(seed=tf.constant([6], tf.int64))["image_bytes"].numpy()
    assert together[1] == alone[0] and together[0] != together[1]
    assert all(np.array_equal(a, b) for a, b in zip(before, model.weights, strict=True))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"size": 48}, "config.size is 48; it must be 8, 16, 32 and so on"),
        ({"size": 4}, "config.size is 4"),
        ({"channels": 2}, "config.channels"),
        ({"latent": 0}, "config.latent"),
        ({"width": 0}, "config.width"),
        ({"statistics": "some"}, "config.statistics"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        dcgan.Config(**wrong)
