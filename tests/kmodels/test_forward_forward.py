"""Forward-Forward against NumPy, its counts and its endpoints."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import forward_forward as ff
from kmodels.core.codecs.images import Images

RNG = np.random.default_rng(0)
LOCAL = {"size": 7, "hidden": (6, 5), "fields": ((3, 2), (2, 1)), "label": "none"}


def config(**changes):
    return ff.Config(**{"size": 4, "hidden": (6, 5, 4), "classes": 3, "label": "before", **changes})


def made(**changes):
    """A model with weights that differ, all of them."""
    model = ff.build(config(**changes))
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(0.05, 0.5, tuple(variable.shape)))
    return model


def pictures(model, count=4):
    size = model.config.size
    return RNG.uniform(0, 1, (count, size, size, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def codec():
    files = [
        tf.io.encode_png(RNG.integers(0, 256, (4, 4, 1)).astype(np.uint8)).numpy() for _ in range(2)
    ]
    return Images(labels=("a", "b", "c"), size=4, channels=1, examples=tuple(files))


@pytest.mark.parametrize(
    ("preset", "hidden", "head"),
    [
        ("mnist", 2_787_000, 20_010),
        ("paper", 13_576_000, 60_010),
        ("unsupervised", 13_576_000, 60_010),
    ],
)
def test_counts_are_the_published_ones(preset, hidden, head):
    chosen = ff.PRESETS[preset]
    assert sum(ff.layer_counts(chosen)) == hidden
    assert ff.param_count(chosen) == hidden + head


def test_local_layers_are_about_two_thousand_units_wide():
    assert ff.widths(ff.PRESETS["unsupervised-local"]) == [2048, 1980, 2048]


def normed(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True))


def by_numpy(model, inputs):
    """Sums and rectified activities of each layer, float64."""
    x, found = normed(inputs.astype(np.float64)), []
    for layer in model.hidden:
        kernel, bias = (np.asarray(w, np.float64) for w in (layer.kernel, layer.bias))
        if isinstance(layer, ff.Local):
            grid = x.reshape(len(x), layer.side, layer.side, -1)
            side, deep = int(layer.places**0.5), []
            for place in range(layer.places):
                row, column = (n * layer.stride for n in divmod(place, side))
                seen = grid[:, row : row + layer.field, column : column + layer.field]
                deep.append(seen.reshape(len(x), -1) @ kernel[place])
            sums = np.concatenate(deep, axis=1) + bias
        else:
            sums = x @ kernel + bias
        active = np.maximum(sums, 0)
        found.append((sums, active))
        x = normed(active)
    return found


@pytest.mark.parametrize("changes", [{}, {"label": "over"}, {"label": "none"}, LOCAL])
def test_states_goodness_and_softmax_are_those_of_numpy(changes):
    model = made(**changes)
    image, label = pictures(model), np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
    flat = image.reshape(4, -1)
    inputs = {
        "before": np.concatenate([label, flat], 1),
        "over": np.concatenate([label, flat[:, 3:]], 1),
        "none": flat,
    }[model.config.label]
    wanted = by_numpy(model, inputs)
    states = model.states(tf.constant(image), tf.constant(label))
    for state, (sums, active) in zip(states, wanted, strict=True):
        np.testing.assert_allclose(state.sums, sums, atol=1e-5)
        np.testing.assert_allclose(state.active, active, atol=1e-5)
        np.testing.assert_allclose(state.goodness, (active**2).sum(1), rtol=1e-4)
        np.testing.assert_allclose((state.normal.numpy() ** 2).mean(1), 1.0, rtol=1e-5)
    first = ff.first_read(model.config)
    read = np.concatenate([normed(active) for _, active in wanted[first:]], axis=1)
    kernel, bias = (np.asarray(w) for w in (model.logits.kernel, model.logits.bias))
    np.testing.assert_allclose(model.read(states), read @ kernel + bias, atol=1e-4)


def test_a_silent_layer_is_not_divided_by_nothing():
    np.testing.assert_array_equal(ff.norm(tf.zeros((2, 3))), np.zeros((2, 3)))
    np.testing.assert_allclose(ff.norm(tf.constant([[3.0, 4.0]])), [[0.8485, 1.1314]], atol=1e-4)


def test_the_first_layer_does_not_count_in_the_energy():
    model = made()
    image = pictures(model)
    goodnesses = model.goodnesses(tf.constant(image)).numpy()
    assert goodnesses.shape == (4, 3, 3)
    for label in range(3):
        states = model.states(tf.constant(image), tf.one_hot([label] * 4, 3))
        for layer, state in enumerate(states):
            np.testing.assert_allclose(goodnesses[:, label, layer], state.goodness, rtol=1e-5)
    np.testing.assert_allclose(ff.energy(goodnesses), goodnesses[:, :, 1:].sum(-1), rtol=1e-6)


def test_the_softmax_is_asked_with_a_neutral_label():
    model = made()
    image = tf.constant(pictures(model))
    third = model.states(image, tf.fill([4, 3], 1 / 3))
    np.testing.assert_array_equal(model(image), model.read(third))


def test_initial_weights_have_the_variance_of_the_published_code():
    keras.utils.set_random_seed(0)
    model = ff.build(config(size=20, hidden=(300, 200)))
    for layer in model.hidden:
        kernel = layer.kernel.numpy()
        assert kernel.std() * len(kernel) ** 0.5 == pytest.approx(1, abs=0.02)
        assert not layer.bias.numpy().any() and (layer.activity.numpy() == 0.5).all()


def test_each_row_has_the_way_it_asks_for(codec):
    model = made()
    function = ff.endpoints(model, codec)["classify"].function
    files = tf.constant(codec.examples * 2)
    answer = function(
        image_bytes=files, mode=tf.constant(["energy", "energy", "softmax", "softmax"])
    )
    chosen = answer["label_id"].numpy()
    np.testing.assert_array_equal(chosen[:2], answer["goodness"].numpy().argmax(1)[:2])
    np.testing.assert_array_equal(chosen[2:], answer["probabilities"].numpy().argmax(1)[2:])
    assert [codec.labels[i] for i in chosen] == [s.decode() for s in answer["label"].numpy()]
    layers = answer["layer_goodness"].numpy()
    told = answer["goodness"].numpy()[np.arange(4), chosen]
    np.testing.assert_allclose(layers[:, 1:].sum(1), told, rtol=1e-5)
    np.testing.assert_allclose(answer["probabilities"].numpy().sum(1), 1, rtol=1e-5)


def test_pictures_as_numbers_get_the_same_answer(codec):
    offered = ff.endpoints(made(), codec)
    by_file, by_number = (offered[name] for name in ("serving_default", "predict_images"))
    one = by_file.function(image_bytes=tf.constant(codec.examples), mode=tf.constant(["energy"]))
    image = tf.constant(by_number.example["image"], tf.float32)
    other = by_number.function(image=image, mode=tf.constant(["energy"]))
    for name, value in one.items():
        if name != "label":
            np.testing.assert_allclose(value, other[name], atol=1e-5)


def test_without_labels_there_is_no_mode(codec):
    endpoint = ff.endpoints(made(label="none"), codec)["classify"]
    assert set(endpoint.inputs) == {"image_bytes"}
    answer = endpoint.function(image_bytes=tf.constant(codec.examples))
    assert set(answer) == {"label", "label_id", "layer_goodness", "probabilities"}
    assert answer["layer_goodness"].shape == (2, 3)


@pytest.mark.parametrize(
    ("modes", "sentence"),
    [
        (["energy", "sofmax"], "mode of row 1 is sofmax; it must be energy or softmax."),
        (["energy"] * 3, "an option has one value, or one a row; given"),
    ],
)
def test_a_mode_that_does_not_exist_is_a_sentence(codec, modes, sentence):
    function = ff.endpoints(made(), codec)["classify"].function
    with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
        function(image_bytes=tf.constant(codec.examples), mode=tf.constant(modes))


def test_what_is_no_picture_is_a_sentence(codec):
    function = ff.endpoints(made(), codec)["classify"].function
    with pytest.raises(tf.errors.InvalidArgumentError, match="image 1 is neither a JPEG nor a PNG"):
        function(
            image_bytes=tf.constant([codec.examples[0], b"text"]), mode=tf.constant(["energy"])
        )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"hidden": (5,)}, "two numbers or more"),
        ({"hidden": (5, 0)}, "config.hidden"),
        ({"size": 0}, "config.size"),
        ({"channels": 2}, "config.channels"),
        ({"classes": 1}, "at least 2"),
        ({"label": "befor"}, "Did you mean 'before'"),
        ({"label": "over", "size": 2, "classes": 5}, "over 4 pixels"),
        ({"fields": ((2, 1),)}, "config.fields has 1 layers; it must have 3"),
        ({"fields": ((2, 1),) * 3}, 'config.label is "before"'),
        ({"fields": ((3, 1), (3, 1), (1, 1)), "label": "none"}, r"a field must lie in \[1, 2\]"),
        ({"fields": ((2, 0),) * 3, "label": "none"}, "stride be at least 1"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        config(**wrong)


def test_classes_must_be_known_to_build():
    with pytest.raises(ValueError, match="config.classes is not set"):
        ff.build(dataclasses.replace(config(), classes=None))
