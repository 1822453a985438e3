"""ResNet: published counts, and the same maps and gradients as keras-hub."""

import dataclasses

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from kmodels import resnet

COUNTS = {  # trainable, moving statistics
    "resnet-18": (11_689_512, 9_600),
    "resnet-34": (21_797_672, 17_024),
    "resnet-50": (25_557_032, 53_120),
    "resnet-101": (44_549_160, 105_344),
    "resnet-152": (60_192_808, 151_424),
    "plain-18": (11_515_688, None),
    "plain-34": (21_623_848, None),
    "cifar-20": (269_722, 1_376),
    "cifar-32": (464_154, 2_272),
    "cifar-44": (658_586, 3_168),
    "cifar-56": (853_018, 4_064),
    "cifar-110": (1_727_962, 8_096),
    **{f"plain-{d}": (n, None) for d, n in ((20, 269_722), (32, 464_154), (56, 853_018))},
}


@pytest.mark.parametrize(("preset", "counts"), COUNTS.items())
def test_counts_are_the_published_ones(preset, counts):
    assert resnet.param_count(resnet.PRESETS[preset]) == counts[0]


@pytest.mark.parametrize("preset", ["resnet-18", "cifar-20"])
def test_moving_statistics_come_on_top(preset):
    trainable, moving = COUNTS[preset]
    assert resnet.build(resnet.PRESETS[preset]).count_params() == trainable + moving


def test_option_b_has_projections():
    config = resnet.PRESETS["cifar-20"]
    b = resnet.Config(**{**vars(config), "shortcut": "projection"})
    assert resnet.param_count(b) - resnet.param_count(config) == 2_752


SHAPE = {"widths": (64, 16, 24, 32), "depths": (2, 1, 2, 1), "classes": 5}


def perturbed(model, seed=0):
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "seed" in variable.path:
            continue
        low = 0.5 if "variance" in variable.path or "gamma" in variable.path else -0.2
        variable.assign(
            rng.uniform(low, low + 0.7, tuple(variable.shape)) * (1 if low > 0 else 0.5)
        )
    return model


def of_hub(block):
    """keras-hub's backbone of the same small shape."""
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 16, 24, 32],
        stackwise_num_blocks=[2, 1, 2, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type=f"{block}_block",
        image_shape=(64, 64, 3),
    )


def name_in_hub(name):
    """`stage_1_block_0_conv_1` here is `stack1_block0_2_conv` there; a projection is number 0."""
    words = name.split("_")
    if words[0] == "stem":
        return "conv1_bn" if "norm" in name else "conv1_conv"
    kind = "bn" if "norm" in name else "conv"
    number = 0 if "projection" in name else int(words[-1]) + 1
    return f"stack{words[1]}_block{words[3]}_{number}_{kind}"


def transplant(ours, theirs):
    """All weights of ours into theirs, by the names of layers; gives how many."""
    moved = 0
    for layer in ours.layers:
        if layer.weights and layer.name != "logits":
            weights = layer.get_weights()
            theirs.get_layer(name_in_hub(layer.name)).set_weights(weights)
            moved += len(weights)
    return moved


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("training", [False, True])
def test_maps_and_gradients_are_those_of_keras_hub(block, training):
    ours = perturbed(resnet.build(resnet.Config(block=block, stride_in="3x3", **SHAPE)))
    theirs = of_hub(block)
    assert transplant(ours, theirs) == len(theirs.weights)
    pictures = tf.constant(np.random.default_rng(1).normal(size=(2, 64, 64, 3)), tf.float32)
    last = ours.get_layer("mean").input
    inner = keras.Model(ours.input, last)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(pictures)
        a, b = inner(pictures, training=training), theirs(pictures, training=training)
        weighed = np.random.default_rng(2).normal(size=a.shape).astype(np.float32)
        sums = tf.reduce_sum(a * weighed), tf.reduce_sum(b * weighed)
    np.testing.assert_allclose(a, b, atol=1e-4 * float(tf.reduce_max(tf.abs(b))))
    ga, gb = tape.gradient(sums[0], pictures), tape.gradient(sums[1], pictures)
    np.testing.assert_allclose(ga, gb, atol=1e-4 * float(tf.reduce_max(tf.abs(gb))))


def test_the_zero_shortcut_takes_every_second_place_and_adds_zeros():
    x = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
    y = resnet.ZeroShortcut(5, 2, name="s")(x).numpy()
    assert y.shape == (2, 2, 2, 5)
    assert np.array_equal(y[..., :3], x[:, ::2, ::2]) and not y[..., 3:].any()


def test_a_plain_network_adds_nothing():
    names = [layer.name for layer in resnet.build(resnet.PRESETS["plain-20"]).layers]
    assert not [n for n in names if "sum" in n or "shortcut" in n or "projection" in n]


def test_dense_averages_the_scores_of_the_last_map():
    model = resnet.build(dataclasses.replace(resnet.PRESETS["tiny"], classes=3))
    x = np.random.default_rng(1).normal(size=(2, 12, 18, 1)).astype(np.float32)
    maps = np.asarray(keras.Model(model.input, model.get_layer("mean").input)(x))
    kernel, bias = model.get_layer("logits").get_weights()
    scores = (maps @ kernel + bias).mean(axis=(1, 2))
    np.testing.assert_allclose(resnet.dense(model, x), scores, atol=1e-5)


def test_a_block_may_begin_as_the_identity():
    config = resnet.Config(
        classes=3, size=8, stem="cifar", widths=(4,), depths=(2,), shortcut="zeros", zero_gamma=True
    )
    model = resnet.build(config)
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    stem = keras.Model(model.input, model.get_layer("stem_relu").output)
    end = keras.Model(model.input, model.get_layer("stage_0_block_1").output)
    np.testing.assert_allclose(stem(x), end(x), atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"classes": 0}, "classes is 0"),
        ({"channels": 2}, "1 or 3"),
        ({"shortcut": "projections"}, "Did you mean 'projection'"),
        ({"widths": (8,)}, "as many"),
        ({"depths": (1, 1, 1, 0)}, "at least 1"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        resnet.Config(**wrong)
