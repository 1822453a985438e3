"""DDPM's network for points: the noise of NumPy, a row alone, and what its endpoint refuses."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import ddpm
from kmodels.core.codecs.features import Features

CONFIG = ddpm.Config(
    inputs=3,
    width=8,
    blocks=2,
    groups=2,
    dropout=0.0,
    labels=2,
    timesteps=10,
    schedule="cosine",
)
CODEC = Features(
    names=("x", "y", "z"),
    labels=("near", "far"),
    mean=(1.0, -2.0, 0.0),
    deviation=(0.5, 3.0, 1.0),
)


def numbered(config):
    """A network none of whose weights stands at a neutral value."""
    rng = np.random.default_rng(0)
    model = ddpm.build(config)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.4, tuple(variable.shape)))
    return model


@pytest.fixture(scope="module")
def model():
    return numbered(CONFIG)


def silu(x):
    return x / (1 + np.exp(-x))


def noise(weights, x, times, labels):
    """What the network says, in float64."""

    def linear(name, x):
        return x @ weights.pop(f"{name}/kernel") + weights.pop(f"{name}/bias")

    def norm(name, x):
        parts = x.reshape(len(x), CONFIG.groups, -1)
        parts = parts - parts.mean(-1, keepdims=True)
        parts = parts / np.sqrt((parts**2).mean(-1, keepdims=True) + 1e-6)
        return parts.reshape(x.shape) * weights.pop(f"{name}/gamma") + weights.pop(f"{name}/beta")

    half = CONFIG.width // 2
    angles = times[:, None] * 10_000.0 ** (-np.arange(half) / (half - 1))
    time = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    time = linear("time_2", silu(linear("time_1", time)))
    time = time + weights.pop("label/embeddings")[labels + 1]
    waves = (x[:, :, None] * np.array([1, 2, 4, 8, 16, 32])).reshape(len(x), -1)
    x = linear("first", np.concatenate([x, np.sin(waves), np.cos(waves)], axis=1))
    for i in range(CONFIG.blocks):
        y = linear(f"block_{i}/conv_1", silu(norm(f"block_{i}/norm_1", x)))
        y = y + linear(f"block_{i}/time", silu(time))
        x = x + linear(f"block_{i}/conv_2", silu(norm(f"block_{i}/norm_2", y)))
    return linear("noise", silu(norm("norm", x)))


def test_the_noise_is_that_of_numpy_from_every_weight(model):
    weights = {v.path: v.numpy().astype(np.float64) for v in model.trainable_variables}
    x = np.random.default_rng(1).normal(size=(4, 3))
    times, labels = np.array([0, 4, 9, 9]), np.array([-1, 0, 1, -1])
    wanted = noise(weights, x, times, labels)
    assert not weights, "a weight that changes nothing"
    given = model(tf.constant(x, tf.float32), tf.constant(times), tf.constant(labels))
    np.testing.assert_allclose(given, wanted, atol=2e-5)
    untold = model(tf.constant(x, tf.float32), tf.constant(times))
    np.testing.assert_allclose(untold[0], wanted[0], atol=2e-5)
    assert np.abs(untold[1] - wanted[1]).max() > 1e-3


def test_the_first_answer_is_no_noise_and_dropout_is_for_training(model):
    keras.utils.set_random_seed(0)
    x = tf.random.stateless_normal([5, 3], [1, 2])
    assert not np.any(ddpm.build(CONFIG)(x))
    wild = numbered(dataclasses.replace(CONFIG, dropout=0.5))
    np.testing.assert_array_equal(wild(x), model(x))
    assert (wild(x, training=True) != wild(x)).numpy().any()


def test_the_preset_is_for_points_of_two_and_has_its_count():
    config = ddpm.PRESETS["points"]
    assert config.shape == (2,) and config.labels == 0
    assert ddpm.param_count(config) == ddpm.build(config).count_params() == 187_138
    told = json.loads(json.dumps(dataclasses.asdict(config)))
    assert ddpm.Config(**told).shape == (2,), "as a run's folder has it, with lists for tuples"


def test_guidance_goes_beyond_the_class(model):
    x = tf.random.stateless_normal([3, 3], [1, 2])
    times, labels = tf.constant([0, 4, 9]), tf.constant([1, 0, -1])
    told, none = model(x, times, labels).numpy(), model(x, times).numpy()
    given = model.guided(x, times, labels, tf.constant([3.0, 1.0, 2.0]))
    scale = np.array([[3.0], [1.0], [2.0]])
    np.testing.assert_allclose(given, none + scale * (told - none), atol=1e-4)
    np.testing.assert_array_equal(model.guided(x, times, labels, tf.ones([3])), told)


@pytest.fixture(scope="module")
def ask(model):
    endpoint = ddpm.endpoints(model, CODEC)["sample"]
    traced = tf.function(endpoint.function, autograph=False)
    traced = traced.get_concrete_function(**endpoint.inputs)

    def call(**given):
        values = {**endpoint.defaults, **given}
        tensors = {k: tf.constant(v, endpoint.inputs[k].dtype) for k, v in values.items()}
        return traced(**tensors)["features"].numpy()

    return call


MIXED = {
    "seed": [5, 5, -7, 5, 5],
    "steps": [3, 10, 1, 3, 3],
    "eta": [0.5, 1.0, 0.0, 0.5, 0.5],
    "label": ["near", "", "far", "near", "far"],
    "guidance_scale": [1.0, 1.0, 4.0, 2.5, 1.0],
}


def test_a_row_alone_is_to_the_bit_what_it_is_in_company(ask):
    together = ask(**MIXED)
    assert together.dtype == np.float32 and together.shape == (5, 3)
    for row in range(5):
        alone = ask(**{name: values[row : row + 1] for name, values in MIXED.items()})
        np.testing.assert_array_equal(alone[0], together[row])
    assert len({tuple(row) for row in together}) == 5, "each option matters"


def test_the_answer_is_in_the_users_numbers_and_cut_off_at_five_deviations(model, ask):
    """One step from time T - 1: the data that the network's first answer speaks of."""
    start = model.noise(tf.constant([8, 9], tf.int64))
    last = tf.fill([2], CONFIG.timesteps - 1)
    seen = model.process.cleaned(start, model(start, last), last, clip=5.0).numpy()
    assert 1 < np.abs(seen).max() == 5
    given = ask(seed=[8, 9], steps=[1])
    wanted = seen * np.array(CODEC.deviation) + np.array(CODEC.mean)
    np.testing.assert_allclose(given, wanted, rtol=1e-4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"steps": [3, 0]}, r"steps of row 1 is 0; it must lie in \[1, 10\]"),
        ({"steps": [11]}, "steps of row 0 is 11"),
        ({"eta": [0.0, 1.5]}, "eta of row 1 is 1.5"),
        ({"eta": [float("nan")]}, "eta of row 0 is nan"),
        ({"label": ["near", "fur"]}, "label of row 1 is .*fur.*; it must be one of near, far, or"),
        ({"guidance_scale": [1.0, float("nan")]}, "guidance_scale of row 1 is nan"),
        ({"steps": [1, 2, 3]}, "an option has one value, or one a row; given 3"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence_that_names_the_row(ask, given, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        ask(seed=[1, 2], **given)


def test_points_are_sampled_and_neither_mixed_nor_mended(model):
    offered = ddpm.endpoints(model, CODEC)
    assert set(offered) == {"serving_default", "sample"}
    untold = ddpm.build(dataclasses.replace(CONFIG, labels=0))
    options = set(ddpm.endpoints(untold, CODEC)["sample"].inputs)
    assert options == {"seed", "steps", "eta", "spacing"}
