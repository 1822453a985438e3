"""Deep Q-networks: sizes from the papers, and what they say of a state, by NumPy."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from kmodels import dqn
from kmodels.core.codecs.features import Features
from tests.numpy_nets import convolution

LITTLE = dqn.Config(
    observation=(12, 12, 2), actions=3, filters=(4, 5), kernels=(4, 3), strides=(2, 1), hidden=(6,)
)


def endpoint(config):
    labels = tuple(f"a{i}" for i in range(config.actions))
    model = dqn.build(config)
    return model, dqn.endpoints(model, Features(names=(), labels=labels))["act"]


@pytest.mark.parametrize(
    ("preset", "actions", "count"),
    [
        ("nature", 4, 1_686_180),
        ("nature", 6, 1_687_206),
        ("nature", 18, 1_693_362),
        ("nips-2013", 4, 677_172),
        ("minatar", 6, 132_566),
    ],
)
def test_the_published_networks_have_their_sizes(preset, actions, count):
    config = dataclasses.replace(dqn.PRESETS[preset], actions=actions)
    assert dqn.param_count(config) == count


def test_worths_are_what_numpy_makes_of_pixels_over_255():
    model, act = endpoint(LITTLE)
    states = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 2)).astype(np.uint8)
    x = states.astype(np.float64) / 255
    weights = [v.numpy().astype(np.float64) for v in model.weights]
    for i, stride in enumerate(LITTLE.strides):
        x = np.maximum(convolution(x, weights[2 * i], weights[2 * i + 1], stride=stride), 0)
    x = np.maximum(x.reshape(3, -1) @ weights[4] + weights[5], 0) @ weights[6] + weights[7]
    answer = act.function(tf.constant(states))
    np.testing.assert_allclose(answer["q_values"], x, atol=1e-5)
    assert answer["action"].numpy().tolist() == x.argmax(-1).tolist()
    assert [n.decode() for n in answer["name"].numpy()] == [f"a{i}" for i in x.argmax(-1)]


def test_weights_and_biases_begin_within_the_root_of_a_units_inputs():
    for layer in dqn.build(LITTLE).layers:
        if layer.weights:
            kernel, bias = (v.numpy() for v in layer.weights)
            most = np.prod(kernel.shape[:-1]) ** -0.5
            assert 0.8 * most < np.abs(kernel).max() <= most
            assert 0 < np.abs(bias).max() <= most


def test_a_row_that_is_no_number_is_refused_by_its_place():
    _, act = endpoint(dqn.PRESETS["tiny"])
    rows = np.zeros((3, 4), np.float32)
    rows[1, 2] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="observations of row 1 holds"):
        act.function(tf.constant(rows))


@pytest.mark.parametrize("shape", [(2, 2, 12, 12), (2, 12, 12, 1), (1, 12, 12, 3)])
def test_states_of_another_shape_are_refused_also_where_the_numbers_are_as_many(shape):
    _, act = endpoint(LITTLE)
    traced = tf.function(act.function, input_signature=[act.inputs["observations"]])
    told = " x ".join(map(str, shape[1:]))
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        traced(tf.zeros(shape, tf.uint8))
    assert f"observations are of {told} numbers each; they must be of 12 x 12 x 2." in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"observation": (84, 84)}, "must be a number, or height, width, channels"),
        ({"actions": 0}, "config.actions is 0"),
        ({"strides": (4, 2)}, "they must be as many"),
        ({"observation": (20, 20, 4)}, "leave nothing of it"),
        ({"hidden": (0,)}, "config.hidden is (0,)"),
        ({"highest": 0.0}, "config.highest is 0.0"),
        ({"observation": (4,)}, "none where a state is not of pixels"),
    ],
)
def test_a_config_that_cannot_be_is_refused_with_a_sentence(changes, sentence):
    with pytest.raises(ValueError) as caught:
        dataclasses.replace(dqn.PRESETS["nature"], **changes)
    assert sentence in str(caught.value)
