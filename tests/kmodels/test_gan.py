"""GANs against their counts and NumPy, and what they answer."""

import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import gan
from kmodels.core.codecs.features import Features
from kmodels.core.codecs.images import Images

SMALL = gan.Config(
    inputs=(3,), latent=2, hidden=(6,), maxout=(4,), pieces=3, output="linear", dropout=0.0
)


def numbered(config):
    """A network whose weights have opinions, statistics too."""
    rng = np.random.default_rng(0)
    model = gan.build(config)
    for variable in (*model.generator.variables, *model.discriminator.variables):
        if "seed" not in variable.path:
            variable.assign(rng.uniform(0.2, 1.5, tuple(variable.shape)))
    return model


@functools.cache
def offered(preset="tiny"):
    config = gan.PRESETS[preset]
    codec = Features(names=("x", "y"), labels=("one",))
    if len(config.inputs) == 3:
        size, _, channels = config.inputs
        codec = Images(labels=("0",), size=size, channels=channels, examples=(b"", b""))
    return gan.endpoints(numbered(config), codec)


def test_counts_are_those_of_the_authors_program():
    config = gan.PRESETS["mnist"]
    assert gan.generator_count(config) == 2_503_984
    assert gan.discriminator_count(config) == 1_231_441


def test_pacgans_networks_have_their_counts_and_packs_widen_the_input_only():
    counts = [gan.PRESETS[f"points{which}"] for which in ("", "-pac2", "-pac4")]
    assert [gan.discriminator_count(c) for c in counts] == [405_201, 407_201, 411_201]
    assert {gan.generator_count(c) for c in counts} == {484_802}
    model = gan.build(counts[0])
    assert model.generator.count_params() == 488_002, "with moving statistics"


def test_the_generator_is_that_of_numpy_with_the_moving_statistics():
    config = gan.Config(
        inputs=(3,), latent=2, hidden=(6, 5), batch_norm=True, output="sigmoid", maxout=(4,)
    )
    model = numbered(config)
    weights = {v.path: v.numpy().astype(np.float64) for v in model.generator.variables}
    latents = np.random.default_rng(1).normal(size=(4, 2)).astype(np.float32)
    h = latents.astype(np.float64)
    for i in range(2):
        norm = {k.split("/")[1]: v for k, v in weights.items() if f"norm_{i}/" in k}
        h = h @ weights[f"generator_{i}/kernel"]
        h = (h - norm["moving_mean"]) / np.sqrt(norm["moving_variance"] + 1e-5)
        h = np.maximum(h * norm["gamma"] + norm["beta"], 0)
    h = h @ weights["generator_output/kernel"] + weights["generator_output/bias"]
    np.testing.assert_allclose(model(latents), 1 / (1 + np.exp(-h)), rtol=1e-5, atol=1e-6)


def test_a_maxout_unit_is_the_largest_of_its_maps():
    model = numbered(SMALL)
    weights = {v.path: v.numpy() for v in model.discriminator.variables if "seed" not in v.path}
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    maps = x @ weights["discriminator_0/kernel"] + weights["discriminator_0/bias"]
    largest = maps.reshape(5, 4, 3).max(-1)
    wanted = largest @ weights["discriminator_logits/kernel"] + weights["discriminator_logits/bias"]
    np.testing.assert_allclose(model.judge(x), wanted[:, 0], rtol=1e-5)


@pytest.mark.parametrize(("rows", "packs"), [(6, 3), (7, 3)])
def test_examples_in_a_pack_are_judged_side_by_side(rows, packs):
    model = numbered(gan.Config(inputs=(3,), latent=2, maxout=(4,), hidden=(4,), packing=2))
    x = np.random.default_rng(1).normal(size=(rows, 3)).astype(np.float32)
    wanted = model.discriminator(x[: 2 * packs].reshape(packs, 6))[:, 0]
    np.testing.assert_allclose(model.judge(tf.constant(x)), wanted, rtol=1e-6)


@pytest.mark.parametrize(("kind", "low"), [("uniform", -math.sqrt(3)), ("normal", -9)])
def test_the_prior_has_variance_one(kind, low):
    prior = gan.Prior(kind, 3, math.sqrt(3))
    assert prior.draw == (kind, (3,))
    rng, shape = np.random.default_rng(0), (20_000, 3)
    numbers = rng.normal(size=shape) if kind == "normal" else rng.uniform(size=shape)
    drawn = prior.latents(numbers)
    assert drawn.shape == (20_000, 3) and low < drawn.min() < -1.7 and drawn.max() < -low
    np.testing.assert_allclose([drawn.mean(), drawn.var()], [0, 1], atol=0.02)


def test_initial_weights_lie_in_the_programs_ranges():
    keras.utils.set_random_seed(0)
    model = gan.build(gan.Config(inputs=(4, 4, 1), hidden=(50,), maxout=(20,)))
    for network, most in ((model.generator, 0.05), (model.discriminator, 0.005)):
        sizes = [np.abs(v.numpy()).max() for v in network.weights if v.name == "kernel"]
        assert all(0.9 * most < size <= most for size in sizes[:2])


@pytest.mark.parametrize("preset", ["tiny", "points"])
def test_seeds_decide_what_is_made_and_a_row_is_the_same_to_the_bit_in_company(preset):
    generate = tf.function(offered(preset)["generate"].function, autograph=False)
    key = "image" if preset == "tiny" else "features"
    together = generate(seed=tf.constant([7, 8, 7, -1], tf.int64))[key].numpy()
    alone = generate(seed=tf.constant([8], tf.int64))[key].numpy()
    np.testing.assert_array_equal(together[1:2], alone)
    np.testing.assert_array_equal(together[0], together[2])
    assert (together[0] != together[1]).any() and (together[1] != together[3]).any()


def test_pictures_are_bytes_and_files_of_the_same():
    answer = offered()["serving_default"].function(seed=tf.constant([3], tf.int64))
    assert answer["image"].dtype == tf.uint8 and answer["image"].shape == (1, 4, 4, 1)
    read = tf.io.decode_png(answer["image_bytes"][0])
    np.testing.assert_array_equal(read, answer["image"][0])


def test_a_latent_that_is_no_number_is_refused_by_its_row():
    function = offered()["generate_from_latent"].function
    latents = np.zeros((3, 4), np.float32)
    assert (function(latent=tf.constant(latents))["image"].numpy()[0] != 0).any()
    latents[1, 2] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="latent of row 1 holds a number"):
        function(latent=tf.constant(latents))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"hidden": ()}, "config.hidden"),
        ({"maxout": (3, 0)}, "config.maxout"),
        ({"inputs": ()}, "config.inputs"),
        ({"latent": 0}, "config.latent is 0"),
        ({"packing": 0}, "config.packing is 0"),
        ({"pieces": 0}, "config.pieces is 0"),
        ({"dropout": 1.0}, "config.dropout"),
        ({"input_dropout": -0.1}, "config.input_dropout"),
        ({"prior": "norml"}, "Did you mean 'normal'"),
        ({"output": "tan"}, "config.output"),
        ({"statistics": "some"}, "config.statistics"),
        ({"generator_range": 0.0}, "config.generator_range is 0.0; it must be above 0"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        gan.Config(**wrong)
