"""DDPM: published counts, the same noise as diffusers, and what its endpoints do and refuse."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import ddpm
from kmodels.core import denoising, rows
from kmodels.core.codecs import images
from tests.kmodels.parity import ddpm as parity
from training import recipes

COUNTS = {"cifar10": 35_746_307, "celeba64": 78_700_803, "256px": 113_673_219}


@pytest.mark.parametrize(("preset", "count"), COUNTS.items())
def test_counts_are_the_published_ones(preset, count):
    assert ddpm.param_count(ddpm.PRESETS[preset]) == count


def test_the_noise_is_that_of_diffusers():
    model = ddpm.build(ddpm.Config(**parity.SHAPE))
    for v in model.trainable_variables:
        v.assign(parity.weight(v.path, tuple(v.shape)))
    pictures = tf.constant(parity.normal("pictures", 2, 8, 8, 3), tf.float32)
    given = model(pictures, tf.constant(parity.TIMES))
    wanted = np.reshape(json.loads(parity.FILE.read_text())["network"], given.shape)
    np.testing.assert_allclose(given, wanted, atol=2e-5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"size": 0}, "config.size is 0"),
        ({"channels": 2}, "config.channels is 2"),
        ({"dropout": 1.0}, "config.dropout"),
        ({"label_dropout": -0.1}, "config.label_dropout"),
        ({"labels": -1}, "config.labels is -1"),
        ({"multipliers": ()}, "config.multipliers"),
        ({"width": 40}, "divide into 32 groups"),
        ({"width": 3, "groups": 1}, "must be even"),
        ({"size": 36}, "cannot be halved 3 times"),
        ({"attention": (7,)}, r"levels have the sides \(32, 16, 8, 4\)"),
        ({"timesteps": 100}, "36% of the picture is left"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"variance": "none"}, "config.variance"),
        ({"inputs": 0}, "config.inputs is 0"),
        ({"inputs": 2, "width": 40}, "divide into 32 groups"),
        ({"inputs": 2, "size": 8}, "config.size is 8, and points, .*, have no maps; leave it out"),
        ({"inputs": 2, "attention": ()}, r"config.attention is \(\), and points"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        ddpm.Config(**wrong)


@pytest.fixture(scope="module")
def made(lively):
    """A tiny network of opinions, and its codec."""
    module, config = recipes.load("ddpm"), ddpm.PRESETS["tiny"]
    prepared = module.prepare(config, module.recipe(config), None)
    keras.utils.set_random_seed(3)
    return lively(ddpm.build(config), stddev=0.1), prepared.codec


@pytest.fixture(scope="module")
def ask(made):
    offered = ddpm.endpoints(*made)
    functions = {}

    def traced(name):
        """Once, for any number of rows."""
        if name not in functions:
            function = tf.function(offered[name].function, autograph=False)
            functions[name] = function.get_concrete_function(**offered[name].inputs)
        return functions[name]

    def call(name, **given):
        endpoint = offered[name]
        values = {**endpoint.defaults, **given}
        tensors = {k: tf.constant(v, endpoint.inputs[k].dtype) for k, v in values.items()}
        return traced(name)(**tensors)["image"].numpy()

    return call


MIXED = {
    "seed": [5, 5, -7, 5],
    "steps": [3, 10, 1, 3],
    "eta": [0.5, 1.0, 0.0, 0.5],
    "spacing": ["uniform", "quadratic", "quadratic", "uniform"],
    "label": ["3", "", "9", "3"],
    "guidance_scale": [1.0, 1.0, 4.0, 2.5],
}


def test_a_row_alone_is_to_the_bit_what_it_is_in_company(ask):
    together = ask("sample", **MIXED)
    for row in range(4):
        alone = ask("sample", **{name: values[row : row + 1] for name, values in MIXED.items()})
        np.testing.assert_array_equal(alone[0], together[row])
    np.testing.assert_array_equal(ask("sample", **MIXED), together)
    for a, b in ((0, 1), (0, 2), (0, 3)):
        assert (together[a] != together[b]).any()


def test_a_rows_numbers_are_its_own_in_any_group_before_they_are_colours(made, monkeypatch):
    monkeypatch.setattr(denoising, "PLACES", 3 * 8**2)  # groups of three
    model, codec = made
    whole = []
    codec = dataclasses.replace(codec)
    object.__setattr__(codec, "unsee", lambda seen: whole.append(seen) or made[1].unsee(seen))
    endpoint = ddpm.endpoints(model, codec)["sample"]

    def call(part):
        tensors = {k: tf.constant(v[part], endpoint.inputs[k].dtype) for k, v in MIXED.items()}
        endpoint.function(**tensors)
        return whole.pop().numpy()

    together = call(slice(None))
    for row in range(4):
        np.testing.assert_array_equal(call(slice(row, row + 1))[0], together[row])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_says_of_a_row_what_it_says_of_it_in_any_company(channels, lively):
    """As wide as the paper's: products of one row of 512 numbers are added in another order."""
    config = ddpm.Config(size=8, channels=channels, multipliers=(1,), blocks=1, attention=(8,))
    network = lively(ddpm.build(config), stddev=0.05).network
    seen = tf.function(lambda x, times: network([x, times]), autograph=False, reduce_retracing=True)
    x, times = rows.normal(tf.range(6, dtype=tf.int64), config.shape), 100 * tf.range(6)
    whole = seen(x, times)
    for count in (1, 2, 3, 5):
        for begin in range(6 - count):
            part = slice(begin, begin + count)
            np.testing.assert_array_equal(seen(x[part], times[part]), whole[part])


def test_eta_0_has_no_chance_but_the_seed_and_options_matter(ask):
    base = ask("sample", seed=[1], steps=[10])
    np.testing.assert_array_equal(base, ask("sample", seed=[1], steps=[10], eta=[0.0]))
    others = {"seed": [2], "steps": [9], "eta": [1.0], "spacing": ["quadratic"], "label": ["1"]}
    for other in ({name: value} for name, value in others.items()):
        assert (ask("sample", **{"seed": [1], "steps": [10], **other}) != base).any(), other


def test_guidance_1_is_the_class_0_none_and_more_goes_beyond(made):
    model, _ = made
    x = tf.random.stateless_normal([3, 8, 8, 1], [1, 2])
    times, labels = tf.constant([0, 4, 9]), tf.constant([7, 2, -1])

    def guided(scale):
        return model.guided(x, times, labels, tf.fill([3], scale)).numpy()

    told, none = model(x, times, labels).numpy(), model(x, times).numpy()
    np.testing.assert_array_equal(guided(1.0), told)
    np.testing.assert_allclose(guided(0.0), none, atol=1e-5)
    np.testing.assert_allclose(guided(3.0), none + 3 * (told - none), atol=1e-4)
    np.testing.assert_allclose(told[2], none[2], atol=1e-5)
    assert np.abs(told[:2] - none[:2]).max() > 1e-3
    mixed = model.guided(x, times, labels, tf.constant([1.0, 3.0, 1.0])).numpy()
    np.testing.assert_allclose(mixed[0], told[0], atol=1e-5)
    np.testing.assert_allclose(mixed[1], guided(3.0)[1], atol=1e-5)


def test_interpolation_goes_from_one_seeds_picture_to_the_others(ask):
    ends = ask("sample", seed=[1, 2], steps=[4])
    way = ask("interpolate", seed=[1] * 3, other_seed=[2], weight=[0.0, 0.5, 1.0], steps=[4])
    assert np.abs(way[[0, 2]].astype(int) - ends).max() <= 1
    assert (way[1] != way[0]).any() and (way[1] != way[2]).any()


def png(picture):
    return tf.io.encode_png(tf.constant(picture, tf.uint8)).numpy()


def mask(side=8):
    white = np.zeros((side, side, 1), np.uint8)
    white[side // 2 :] = 255
    return png(white)


def test_inpainting_keeps_what_is_black_and_makes_what_is_white(made, ask):
    _, codec = made
    pictures = codec.unsee(codec.read(tf.constant(codec.examples))).numpy()
    request = {"image_bytes": list(codec.examples), "mask_bytes": [mask()], "steps": [10, 3]}
    given = ask("inpaint", **request, seed=[1, 1])
    np.testing.assert_array_equal(given[:, :4], pictures[:, :4])
    other = ask("inpaint", **request, seed=[2])
    assert (given[:, 4:] != pictures[:, 4:]).any() and (given[:, 4:] != other[:, 4:]).any()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"steps": [3, 0]}, r"steps of row 1 is 0; it must lie in \[1, 10\]"),
        ({"steps": [11]}, "steps of row 0 is 11"),
        ({"eta": [0.0, 1.5]}, "eta of row 1 is 1.5"),
        ({"eta": [float("nan")]}, "eta of row 0 is nan"),
        ({"spacing": ["even"]}, "spacing of row 0 is .*even.*; it must be one of uniform, quad"),
        ({"label": ["1", "ten"]}, "label of row 1 is .*ten.*; it must be one of 0, .*, or empty"),
        ({"guidance_scale": [-1.0]}, "guidance_scale of row 0 is -1"),
        ({"guidance_scale": [1.0, float("inf")]}, "guidance_scale of row 1 is inf"),
        ({"steps": [1, 2, 3]}, "an option has one value, or one a row; given 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_a_sentence_that_names_the_row(ask, given, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        ask("sample", seed=[1, 2], **given)


def test_weights_and_masks_that_cannot_be_are_sentences_too(made, ask):
    with pytest.raises(tf.errors.InvalidArgumentError, match="weight of row 1 is 1.1"):
        ask("interpolate", seed=[1, 2], other_seed=[3], weight=[0.0, 1.1], steps=[1])
    pictures = list(made[1].examples)
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match="mask_bytes of row 1 is 16 x 16 pixels; it must be as large as the picture",
    ):
        ask("inpaint", image_bytes=pictures, mask_bytes=[mask(), mask(16)], seed=[1], steps=[1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="mask 0 is neither a JPEG nor a PNG"):
        ask("inpaint", image_bytes=pictures, mask_bytes=[b"white"], seed=[1], steps=[1])


def test_a_network_that_is_told_nothing_is_not_asked_for_it(made):
    config = dataclasses.replace(ddpm.PRESETS["tiny"], labels=0)
    offered = ddpm.endpoints(ddpm.build(config), made[1])
    for endpoint in offered.values():
        assert not {"label", "guidance_scale"} & set(endpoint.inputs)
    answer = offered["sample"].function(
        seed=tf.constant([1], tf.int64), steps=tf.constant([2]), eta=tf.constant([0.0])
    )
    assert answer["image"].shape == (1, 8, 8, 1)
    assert answer["image_bytes"].numpy()[0].startswith(images.PNG)
