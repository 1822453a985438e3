"""Normalisation against NumPy, in whole and in half precision."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels.core.normalisation import (
    GroupNormalization,
    LayerNormalization,
    LocalResponseNormalization,
    batch_norm,
)
from tests import numpy_nets as nets

KerasGroups = keras.layers.GroupNormalization
MAPS = np.random.default_rng(0).normal(0, 40, (2, 3, 3, 7)).astype(np.float32)


@pytest.mark.parametrize(("averaged", "alpha"), [(True, 2e-5), (False, 1e-4)])
def test_responses_are_divided_as_numpy_divides_them(averaged, alpha):
    layer = LocalResponseNormalization(averaged=averaged, name="lrn")
    np.testing.assert_allclose(layer(MAPS), nets.responses(MAPS, alpha), rtol=1e-5)


def test_half_precision_is_divided_in_whole():
    layer = LocalResponseNormalization(name="lrn")
    given = layer.call(tf.cast(MAPS, tf.bfloat16))
    assert given.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(given, tf.float32), nets.responses(MAPS, 2e-5), rtol=2e-2)


@pytest.mark.parametrize("statistics", ["replica", "all"])
def test_a_batch_is_normalised_over_what_the_config_says(statistics):
    Config = dataclasses.make_dataclass("Config", ["statistics"])
    layer = batch_norm(Config(statistics), "norm", gamma="zeros")
    assert layer.synchronized == (statistics == "all")
    assert not np.asarray(layer(MAPS, training=True)).any(), "gamma begins at 0"
    layer.gamma.assign(keras.ops.ones(7))
    mean, variance = MAPS.mean((0, 1, 2)), MAPS.var((0, 1, 2))
    wanted = (MAPS - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(layer(MAPS, training=True), wanted, atol=1e-4)


def test_one_operation_normalises_follows_and_differentiates_as_keras_does():
    maps = tf.constant(MAPS / 40 + 3)
    Config = dataclasses.make_dataclass("Config", ["statistics"])
    ours = batch_norm(Config("replica"), "norm")
    theirs = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    found = []
    for layer in (ours, theirs):
        layer.build(maps.shape)
        layer.gamma.assign(np.linspace(0.5, 2, 7))
        with tf.GradientTape() as tape:
            tape.watch(maps)
            y = layer(maps, training=True)
            loss = tf.reduce_sum(y**3)
        wanted = [maps, layer.gamma.value, layer.beta.value]
        moving = [layer.moving_mean, layer.moving_variance]
        found.append([y, *tape.gradient(loss, wanted), *moving, layer(maps)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", ["half", "compiled"])
def test_one_operation_in_half_precision_and_compiled(way):
    """Statistics are kept in float32 either way."""
    Config = dataclasses.make_dataclass("Config", ["statistics"])
    maps = tf.constant(MAPS / 40 + 3)
    plain = batch_norm(Config("replica"), "norm")
    layer = batch_norm(Config("replica"), "norm")
    if way == "half":
        layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    for each in (plain, layer):
        each.build(maps.shape)
        each.gamma.assign(np.linspace(0.5, 2, 7))

    @tf.function(jit_compile=way == "compiled")
    def gradient() -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(maps)
            y = layer(maps, training=True)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
        return y, tape.gradient(loss, maps)

    with tf.GradientTape() as tape:
        tape.watch(maps)
        wanted = plain(maps, training=True)
        loss = tf.reduce_sum(wanted**3)
    y, slope = gradient()
    assert y.dtype == (tf.bfloat16 if way == "half" else tf.float32)
    room = 3e-2 if way == "half" else 1e-4
    np.testing.assert_allclose(tf.cast(y, tf.float32), wanted, rtol=room, atol=room)
    np.testing.assert_allclose(slope, tape.gradient(loss, maps), rtol=room, atol=20 * room)
    for a, b in zip(layer.non_trainable_variables, plain.non_trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2 if way == "half" else 1e-5, err_msg=a.path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("center", [True, False])
def test_layers_are_normalised_as_keras_normalises_them(lively, center, dtype):
    kinds = (LayerNormalization, keras.layers.LayerNormalization)
    ours, theirs = (kind(epsilon=1e-5, center=center, dtype=dtype) for kind in kinds)
    x = tf.cast(MAPS, dtype)
    ours.build(x.shape)
    theirs.build(x.shape)
    theirs.set_weights(lively(ours).get_weights())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        answers = [ours(x), theirs(x)]
        squares = [y * y for y in answers]
    assert answers[0].dtype == answers[1].dtype == x.dtype
    for pair in (answers, [tape.gradient(square, x) for square in squares]):
        one, other = (tf.cast(y, tf.float32) for y in pair)
        np.testing.assert_allclose(one, other, atol=1e-4 if dtype == "float32" else 0.1)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_groups_are_normalised_over_places_and_their_channels(dtype):
    maps = np.random.default_rng(1).normal(3, 2, (2, 3, 5, 6)).astype(np.float32)
    layer = GroupNormalization(2, epsilon=1e-6)
    layer.build(maps.shape)
    gamma, beta = np.arange(1.0, 7.0), np.arange(6.0) / 7
    layer.gamma.assign(gamma), layer.beta.assign(beta)
    given = layer.call(tf.cast(maps, dtype))
    groups = maps.astype(float).reshape(2, 15, 2, 3)
    mean, variance = (f(axis=(1, 3), keepdims=True) for f in (groups.mean, groups.var))
    wanted = ((groups - mean) / np.sqrt(variance + 1e-6)).reshape(maps.shape) * gamma + beta
    assert given.dtype == dtype
    tolerance = 1e-5 if dtype == tf.float32 else 0.1
    np.testing.assert_allclose(tf.cast(given, tf.float32), wanted, atol=tolerance)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_an_offset_is_as_if_it_had_been_added_before(dtype):
    random = np.random.default_rng(1)
    maps = tf.cast(random.normal(3, 2, (2, 3, 5, 6)), dtype)
    offset = tf.cast(random.normal(0, 4, (2, 6)), dtype)
    layer = GroupNormalization(2, epsilon=1e-6)
    layer.build(maps.shape)
    layer.gamma.assign(np.linspace(0.5, 2, 6)), layer.beta.assign(np.arange(6) / 7)

    def all_of(call):
        wanted = [maps, offset, layer.gamma.value, layer.beta.value]
        with tf.GradientTape() as tape:
            tape.watch(wanted)
            y = call()
            total = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
        return [y, *tape.gradient(total, wanted)]

    ours = all_of(lambda: layer.call(maps, offset))
    before = all_of(lambda: layer.call(maps + offset[:, None, None]))
    for given, wanted in zip(ours, before, strict=True):
        room = (1e-4 if dtype == tf.float32 else 0.1) * np.abs(wanted).max()
        assert given.dtype == wanted.dtype and given.shape == wanted.shape
        np.testing.assert_allclose(
            tf.cast(given, tf.float32), tf.cast(wanted, tf.float32), atol=room
        )


@pytest.mark.parametrize("way", ["eager", "compiled", "half"])
@pytest.mark.parametrize(
    "kinds",
    [
        (functools.partial(GroupNormalization, 2), functools.partial(KerasGroups, 2)),
        (LayerNormalization, keras.layers.LayerNormalization),
    ],
    ids=["groups", "layers"],
)
def test_slopes_are_those_that_keras_finds_by_rule_and_so_are_the_slopes_of_those(kinds, way):
    """Ours are written out; a penalty of slopes differentiates them once more."""
    half = way == "half"
    maps = tf.constant(np.random.default_rng(1).normal(3, 2, (2, 3, 5, 6)), tf.float32)

    def slopes(layer, x):
        wanted = [x, layer.gamma.value, layer.beta.value]
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                total = tf.reduce_sum(tf.cast(layer.call(x), tf.float32) ** 3)
            first = inner.gradient(total, wanted)
            penalty = tf.add_n([tf.reduce_sum(tf.cast(s, tf.float32) ** 2) for s in first])
        return [*first, *outer.gradient(penalty, wanted)]

    found = []
    for kind, x in zip(kinds, (tf.cast(maps, tf.bfloat16) if half else maps, maps), strict=True):
        layer = kind(epsilon=1e-6)
        layer.build(maps.shape)
        layer.gamma.assign(np.linspace(0.5, 2, 6)), layer.beta.assign(np.arange(6) / 7)
        call = functools.partial(slopes, layer)
        found.append(tf.function(call, jit_compile=True)(x) if way == "compiled" else call(x))
    for given, wanted in zip(*found, strict=True):
        room = (0.1 if half else 1e-4) * np.abs(wanted).max()
        np.testing.assert_allclose(tf.cast(given, tf.float32), wanted, atol=room)
