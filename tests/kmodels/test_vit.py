"""ViT: published counts, the same answers as keras-hub, and pictures of other sizes."""

import dataclasses

import keras_hub
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from kmodels import vit

COUNTS = {  # with 1,000 classes at 224 and at 384
    "ti-16": (5_717_416, 5_790_376),
    "s-16": (22_050_664, 22_196_584),
    "s-32": (22_878_952, 22_915_432),
    "b-32": (88_224_232, 88_297_192),
    "b-16": (86_567_656, 86_859_496),
    "l-32": (306_535_400, 306_632_680),
    "l-16": (304_326_632, 304_715_752),
    "h-14": (632_045_800, None),
}


@pytest.mark.parametrize(("preset", "counts"), COUNTS.items())
def test_counts_are_the_published_ones(preset, counts):
    config = vit.PRESETS[preset]
    assert vit.param_count(config) == counts[0]
    if counts[1] is not None:
        assert vit.param_count(dataclasses.replace(config, size=384)) == counts[1]


def test_the_count_before_fine_tuning_is_the_published_one():
    config = dataclasses.replace(vit.PRESETS["b-16"], classes=21_843, representation=768)
    assert vit.param_count(config) == 103_186_515


SMALL = vit.Config(
    classes=5, size=32, patch=8, width=24, depth=3, heads=4, dropout=0.0, activation="gelu"
)


def perturbed(model):
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        v.assign(rng.normal(0, 0.2, tuple(v.shape)) + ("gamma" in v.path))
    return model


def hub():
    return keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3),
        patch_size=(8, 8),
        num_layers=3,
        num_heads=4,
        hidden_dim=24,
        mlp_dim=96,
        dropout_rate=0.0,
        attention_dropout=0.0,
        layer_norm_epsilon=1e-6,
    )


def transplant(ours, theirs):
    """All of our weights by what they are; theirs have heads apart."""
    mine = {v.path.removeprefix("vit/"): v.numpy() for v in ours.trainable_variables}
    used = set()

    def take(path):
        used.add(path)
        return mine[path]

    for v in theirs.trainable_variables:
        path = v.path
        shape = tuple(v.shape)
        block = next((f"block_{i}" for i in range(3) if f"block_{i + 1}" in path), None)
        leaf = path.split("/")[-1]
        if "class_token" in path:
            value = take("tokens/token")
        elif "position_embedding" in path:
            value = take("tokens/places")
        elif block is None and ("conv" in path or "patch_embedding" in path):
            value = take(f"patches/{leaf}")
        elif block is None:
            value = take(f"norm/{leaf}")
        else:
            part = next(
                ours_name
                for theirs_name, ours_name in (
                    ("query", "attention/query"), ("key/", "attention/key"),
                    ("value", "attention/value"), ("attention_output", "attention/out"),
                    ("ln_1", "norm_1"), ("ln_2", "norm_2"),
                    ("dense_1", "up"), ("dense_2", "down"),
                )
                if theirs_name in path
            )  # fmt: skip
            value = take(f"{block}/{part}/{leaf}")
        v.assign(value.reshape(shape))
    return used


def test_tokens_and_gradients_are_those_of_keras_hub():
    ours, theirs = perturbed(vit.build(SMALL)), hub()
    used = transplant(ours, theirs)
    left = {v.path for v in ours.trainable_variables} - used
    assert left == {"logits/kernel", "logits/bias"}
    x = tf.constant(np.random.default_rng(1).normal(size=(2, 32, 32, 3)), tf.float32)
    inner = vit.keras.Model(ours.input, ours.get_layer("norm").output)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        a, b = inner(x), theirs(x)
        weighed = np.random.default_rng(2).normal(size=a.shape).astype(np.float32)
        sums = tf.reduce_sum(a * weighed), tf.reduce_sum(b * weighed)
    np.testing.assert_allclose(a, b, atol=1e-4)
    ga, gb = tape.gradient(sums[0], x), tape.gradient(sums[1], x)
    np.testing.assert_allclose(ga, gb, atol=1e-4 * float(tf.reduce_max(tf.abs(gb))))


def test_places_of_another_grid_are_those_of_scipys_zoom():
    """The authors' program: scipy.ndimage.zoom of order 1."""
    model = perturbed(vit.build(SMALL))
    tokens = model.get_layer("tokens")
    places = tokens.places.numpy()
    for height, width in ((6, 6), (2, 4), (4, 7), (5, 3)):
        given = vit.interpolated(
            tokens.places.value, tf.constant(height), tf.constant(width)
        ).numpy()
        grid = places[0, 1:].reshape(4, 4, -1)
        wanted = scipy.ndimage.zoom(grid, (height / 4, width / 4, 1), order=1)
        np.testing.assert_allclose(given[0, 1:], wanted.reshape(height * width, -1), atol=1e-5)
        assert np.array_equal(given[:, 0], places[:, 0])


def test_pictures_of_another_size_are_answered():
    model = perturbed(vit.build(SMALL))
    x = np.random.default_rng(1).normal(size=(2, 48, 40, 3)).astype(np.float32)
    answer = tf.function(model)(tf.constant(x)).numpy()
    assert answer.shape == (2, 5) and np.isfinite(answer).all()
    np.testing.assert_allclose(answer, model(x), atol=1e-5)


def test_an_untrained_head_says_nothing():
    model = vit.build(SMALL)
    assert not np.asarray(model(np.ones((1, 32, 32, 3), np.float32))).any()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"size": 225}, "does not divide into patches"),
        ({"heads": 7}, "does not divide into 7 heads"),
        ({"depth": 0}, "at least 1"),
        ({"activation": "gelo"}, "Did you mean 'gelu'"),
        ({"dropout": 1.0}, "dropout"),
        ({"channels": 2}, "1 or 3"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        vit.Config(**wrong)
