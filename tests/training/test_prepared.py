"""What data decide: classes, the codec's numbers, and what does not fit."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from kmodels import mlp, resnet
from training import classifiers, prepared, recipes
from training.config import ImageCodecChoice, UserError
from training.data import digits

TINY = resnet.PRESETS["tiny"]
RECIPE = recipes.load("resnet").recipe(TINY)


def test_open_classes_are_those_of_the_data():
    made = classifiers.prepare(TINY, RECIPE, None)
    assert made.config.classes == 10 and made.codec.labels == tuple("0123456789")
    assert made.sha256 == digits.read(None).sha256


def test_the_network_sees_training_pictures_with_mean_0_and_deviation_1():
    made = classifiers.prepare(TINY, RECIPE, None)
    inputs = tf.constant(made.data.source.train.inputs, tf.float32)
    seen = made.data.see(inputs).numpy()
    assert abs(seen.mean()) < 1e-3 and abs(seen.std() - 1) < 1e-3


def test_training_and_serving_see_the_same():
    """A held-out picture in a batch, and the same as the file that the codec keeps of it."""
    config = dataclasses.replace(TINY, size=12)
    made = classifiers.prepare(config, RECIPE, None)
    batch = next(iter(made.data.batches("eval", 2, seed=0)))
    served = made.codec.read(tf.constant(made.codec.examples))
    assert batch["image"].shape == (2, 12, 12, 1)
    np.testing.assert_allclose(batch["image"], served, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "recipe", "words"),
    [
        ({"classes": 7}, {}, "have 10 classes and config.classes is 7; give --config.classes=10"),
        ({}, {"data": "digitz"}, "'digitz'. Did you mean 'digits'"),
        ({}, {"data": "mnist"}, "--data=mnist needs --data-dir"),
        ({}, {"codec": ImageCodecChoice(short=4)}, "short side of 4 is less than the 8"),
    ],
)
def test_what_does_not_fit_is_a_sentence(config, recipe, words):
    with pytest.raises(UserError, match=words):
        classifiers.prepare(
            dataclasses.replace(TINY, **config), dataclasses.replace(RECIPE, **recipe), None
        )


def test_a_share_of_the_labels_is_learnt_from_and_all_are_asked():
    made = classifiers.prepare(TINY, dataclasses.replace(RECIPE, label_share=0.1), None)
    whole = digits.read(None)
    assert np.bincount(made.data.source.train.labels).tolist() == [
        round(0.1 * count) for count in np.bincount(whole.train.labels)
    ]
    assert len(made.data.source.eval.labels) == len(whole.eval.labels)
    assert made.sha256 != whole.sha256
    xor = mlp.PRESETS["xor"]
    recipe = dataclasses.replace(recipes.load("mlp").recipe(xor), label_share=0.5)
    with pytest.raises(UserError, match="--data=logic asks several questions"):
        recipes.load("mlp").prepare(xor, recipe, None)


def test_another_runs_codec_must_know_the_classes():
    codec = classifiers.prepare(TINY, RECIPE, None).codec
    other = dataclasses.replace(codec, labels=("cat", "dog"))
    with pytest.raises(UserError, match="the codec of the run knows cat, dog"):
        classifiers.prepare(TINY, RECIPE, None, codec=other)
    assert classifiers.prepare(TINY, RECIPE, None, codec=codec).codec is codec


def test_gates_and_inputs_must_fit():
    perceptron, mlp = recipes.load("perceptron"), recipes.load("mlp")
    from kmodels import mlp as networks
    from kmodels import perceptron as units

    config = units.Config(inputs=3)
    with pytest.raises(UserError, match="logic has 2 inputs, and config.inputs is 3"):
        perceptron.prepare(config, perceptron.recipe(config), None)
    row = networks.Config(inputs=(3,), classes=2)
    with pytest.raises(UserError, match="two inputs, and config.inputs is"):
        mlp.prepare(row, mlp.recipe(row), None)
    flat = networks.Config(inputs=(8, 9, 1))
    with pytest.raises(UserError, match="give a side twice"):
        mlp.prepare(flat, mlp.recipe(flat), None)


def test_xor_is_one_column_of_the_table():
    mlp = recipes.load("mlp")
    from kmodels import mlp as networks

    config = networks.PRESETS["xor"]
    made = mlp.prepare(config, mlp.recipe(config), None)
    batch = next(iter(made.data.batches("eval", 4, seed=0)))
    assert batch["label"].numpy().tolist() == [0, 1, 1, 0]
    assert prepared.with_classes(config, ("false", "true")) is config
