"""SimCLR has the published encoder and head, and answers with their vectors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import simclr
from kmodels.core.codecs.images import Images

TINY = simclr.PRESETS["tiny"]


def encoder_count(config):
    head = config.features**2 + 2 * config.features
    return simclr.param_count(config) - head - config.projection * (config.features + 1)


def test_encoder_and_head_have_the_published_counts():
    """Spec of the published code: encoders of three widths, and a head of 4,460,672."""
    presets = simclr.PRESETS
    assert simclr.param_count(presets["resnet-50"]) == 27_968_704
    assert encoder_count(presets["resnet-50"]) == 23_508_032
    assert encoder_count(presets["resnet-50-2x"]) == 93_907_072
    assert encoder_count(presets["resnet-50-4x"]) == 375_378_176


def test_views_are_seen_one_by_one(lively):
    keras.utils.set_random_seed(0)
    model = lively(simclr.build(TINY))
    views = tf.random.stateless_uniform([3, 2, 8, 8, 1], [1, 2])
    together = tf.function(model, autograph=False)(views)
    assert together.shape == (3, 2, TINY.projection)
    for view in range(2):
        np.testing.assert_allclose(model(views[:, view]), together[:, view], atol=1e-5)


def test_the_head_is_two_normalised_layers_the_second_without_a_shift(lively):
    keras.utils.set_random_seed(0)
    model = lively(simclr.build(TINY))
    h = tf.random.stateless_normal([64, TINY.features], [3, 4])
    z = model.head(h, training=True).numpy()
    scale = model.head.get_layer("projection_norm").gamma.numpy()
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(axis=0), np.abs(scale), rtol=1e-2)
    names = {v.path.split("/", 1)[-1] for v in model.head.trainable_variables}
    assert not {n for n in names if "bias" in n or n == "projection_norm/beta"}


def test_embed_gives_features_and_a_direction():
    keras.utils.set_random_seed(0)
    model = simclr.build(TINY)
    pictures = tf.cast(tf.random.stateless_uniform([2, 9, 9, 1], [1, 2], 0, 255), tf.uint8)
    files = tuple(tf.io.encode_png(picture).numpy() for picture in pictures)
    codec = Images(labels=("a", "b"), size=8, channels=1, examples=files)
    answer = simclr.endpoints(model, codec)["embed"].function(tf.constant(files))
    seen = codec.read(tf.constant(files))
    np.testing.assert_allclose(answer["embedding"], model.encoder(seen), atol=1e-6)
    np.testing.assert_allclose(tf.norm(answer["projection"], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "config.temperature is 0.0; it must be above 0."),
        ({"projection": 0}, "config.projection is 0"),
        ({"widths": (8,)}, "must hold as many numbers each"),
        ({"stem": "cifer"}, "cifar"),
        ({"statistics": "replica"}, "config.statistics"),
    ],
)
def test_what_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        simclr.Config(**changes)
