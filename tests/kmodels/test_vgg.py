"""VGG: published counts, and the same answers as keras-hub and keras.applications."""

import dataclasses

import keras
import keras_hub
import numpy as np
import pytest

from kmodels import vgg

COUNTS = {
    "vgg-11": 132_863_336,
    "vgg-11-lrn": 132_863_336,
    "vgg-13": 133_047_848,
    "vgg-16-c": 133_638_952,
    "vgg-16": 138_357_544,
    "vgg-19": 143_667_240,
    "vgg-11-bn": 132_868_840,
    "vgg-13-bn": 133_053_736,
    "vgg-16-bn": 138_365_992,
    "vgg-19-bn": 143_678_248,
}


@pytest.mark.parametrize(("preset", "count"), COUNTS.items())
def test_counts_are_the_published_ones(preset, count):
    assert vgg.param_count(vgg.PRESETS[preset]) == count


def perturbed(model):
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        fan = np.prod(v.shape[:-1]) if len(v.shape) > 1 else 1
        v.assign(rng.normal(0, 1.4 / np.sqrt(fan), tuple(v.shape)))
    return model


@pytest.mark.parametrize("preset", ["vgg-11", "vgg-13", "vgg-16", "vgg-19"])
def test_maps_are_those_of_keras_hub(preset):
    widths = (4, 6, 8, 10, 12)
    config = dataclasses.replace(
        vgg.PRESETS[preset], size=64, widths=widths, hidden=(8, 8), classes=3
    )
    ours = perturbed(vgg.build(config))
    theirs = keras_hub.models.VGGBackbone(
        stackwise_num_repeats=list(config.depths),
        stackwise_num_filters=list(widths),
        image_shape=(64, 64, 3),
    )
    weights = [w for layer in ours.layers if "conv" in layer.name for w in layer.get_weights()]
    theirs.set_weights(weights)
    x = np.random.default_rng(1).normal(size=(2, 64, 64, 3)).astype(np.float32)
    last = keras.Model(ours.input, ours.get_layer("stage_5_pool").output)
    np.testing.assert_allclose(last(x), theirs(x), atol=1e-4)


def test_logits_are_those_of_keras_applications():
    config = dataclasses.replace(vgg.PRESETS["vgg-16"], size=32, classes=7)
    ours = perturbed(vgg.build(config))
    theirs = keras.applications.VGG16(
        weights=None, input_shape=(32, 32, 3), classes=7, classifier_activation=None
    )
    theirs.set_weights(ours.get_weights()[: len(theirs.weights)])
    x = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype(np.float32)
    a, b = np.asarray(ours(x, training=False)), np.asarray(theirs(x, training=False))
    np.testing.assert_allclose(a, b, atol=1e-4 * max(1.0, np.abs(b).max()))


@pytest.mark.parametrize("preset", ["tiny", "digits", "vgg-11-lrn", "vgg-13-bn", "vgg-16-c"])
def test_dense_is_the_network_itself_on_a_picture_of_its_size(preset):
    small = {"classes": 7, "hidden": (24, 16)}
    if vgg.PRESETS[preset].size > 32:
        small |= {"size": 64, "widths": (4, 6, 8, 10, 12)}
    config = dataclasses.replace(vgg.PRESETS[preset], **small)
    model = perturbed(vgg.build(config))
    x = np.random.default_rng(1).normal(size=(3, config.size, config.size, config.channels))
    a, b = np.asarray(model(x, training=False)), np.asarray(vgg.dense(model, x))
    np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, np.abs(a).max()))


def test_dense_averages_the_scores_of_every_place():
    """Places 8 pixels apart see the same crops where there are no borders: 1x1 convolutions."""
    config = dataclasses.replace(
        vgg.PRESETS["digits"], depths=(3, 3, 3), narrow=True, hidden=(24, 16), classes=5
    )
    model = perturbed(vgg.build(config))
    for layer in model.layers:  # only the middle of each 3x3 looks at anything
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3):
            kernel = np.zeros(layer.kernel.shape, np.float32)
            kernel[1, 1] = np.asarray(layer.kernel)[1, 1] * 3
            layer.kernel.assign(kernel)
    x = np.random.default_rng(1).normal(size=(2, 16, 24, 1)).astype(np.float32)
    cut = [x[:, i : i + 8, j : j + 8] for i in (0, 8) for j in (0, 8, 16)]
    wanted = np.mean([np.asarray(model(part, training=False)) for part in cut], axis=0)
    np.testing.assert_allclose(vgg.dense(model, x), wanted, atol=1e-5 * np.abs(wanted).max())


def test_dense_has_the_models_own_weights_and_follows_them():
    model = vgg.build(dataclasses.replace(vgg.PRESETS["tiny"], classes=3))
    x = np.random.default_rng(1).normal(size=(1, 12, 9, 1)).astype(np.float32)
    before = np.asarray(vgg.dense(model, x))
    model.get_layer("logits").bias.assign([1.0, 2.0, 3.0])
    np.testing.assert_allclose(np.asarray(vgg.dense(model, x)) - before, [[1, 2, 3]], atol=1e-6)


def test_the_third_convolutions_of_c_are_1x1():
    config = dataclasses.replace(vgg.PRESETS["vgg-16-c"], size=32, widths=(2,) * 5, hidden=(2, 2))
    sides = {
        layer.name: layer.kernel_size
        for layer in vgg.build(config).layers
        if hasattr(layer, "kernel_size")
    }
    small = {name for name, side in sides.items() if side == (1, 1)}
    assert small == {f"stage_{s}_conv_3" for s in (3, 4, 5)}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"depths": (1, 1)}, "as many"),
        ({"size": 16}, "nothing is left"),
        ({"hidden": (0, 1)}, "at least 1"),
        ({"initializer": "glorat"}, "Did you mean 'glorot'"),
        ({"dropout": 1.0}, "dropout"),
        ({"channels": 4}, "1 or 3"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        vgg.Config(**wrong)
