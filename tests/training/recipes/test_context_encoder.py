"""The program's schedule, data that fit, what is shown, and features that a classifier takes."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from kmodels import alexnet, context_encoder, resnet
from training import initial, recipes
from training.config import UserError
from training.optimization import Adam, Constant

RECIPE = recipes.load("context_encoder")
PRESETS = context_encoder.PRESETS


@pytest.mark.parametrize("preset", ["centre-128", "centre-128-100", "regions-128", "regions-64"])
def test_the_programs_numbers(preset):
    made = RECIPE.recipe(PRESETS[preset])
    assert made == RECIPE.paper(PRESETS[preset]) and made.origin == "paper"
    assert made.discriminator_optimizer == Adam(learning_rate=2e-4, beta_1=0.5)
    assert made.optimizer == Adam(learning_rate=2e-3, beta_1=0.5)
    assert made.schedule == Constant() and made.batch_size == 64
    assert made.steps * 64 / 14_900 == pytest.approx(500, rel=0.001)
    assert (made.learner, made.data, made.codec.short) == ("adversarial", "image_folder", 350)


@pytest.mark.parametrize(
    ("preset", "data"), [("alexnet-227", "image_folder"), ("cifar-features", "cifar10")]
)
def test_features_are_learnt_by_one_network_at_the_usual_rate(preset, data):
    made = RECIPE.paper(PRESETS[preset])
    assert (made.learner, made.data) == ("gradient", data)
    assert made.optimizer == Adam(learning_rate=2e-4, beta_1=0.5)
    assert made.discriminator_optimizer is None


def test_pictures_are_of_minus_1_to_1():
    config = PRESETS["tiny"]
    prepared = RECIPE.prepare(config, RECIPE.recipe(config), None)
    seen = next(iter(prepared.data.batches("train", 64, seed=0)))["image"].numpy()
    assert seen.shape == (64, 16, 16, 1) and seen.min() == -1 and seen.max() > 0.9
    brightness = prepared.data.source.moments(1).mean[0]
    assert config.fill[0] == pytest.approx(brightness, abs=1), "holes have the mean colour"


def test_of_photographs_any_square_is_seen(make_tree, tmp_path):
    config = PRESETS["centre-128"]
    prepared = RECIPE.prepare(config, RECIPE.recipe(config), make_tree(tmp_path / "tree"))
    batches = [next(iter(prepared.data.batches(split, 2, seed=0))) for split in ("train", "eval")]
    learnt, held_out = (batch["image"].numpy() for batch in batches)
    assert learnt.shape == held_out.shape == (2, 128, 128, 3)
    assert abs(learnt).max() <= 1.001 and len(prepared.data.changes) == 1, "mirrored"
    served = prepared.codec.read(tf.constant(prepared.codec.examples))
    np.testing.assert_allclose(held_out, served, atol=1e-5)


def test_another_range_is_a_sentence():
    config = PRESETS["tiny"]
    made = RECIPE.recipe(config)
    codec = dataclasses.replace(made.codec, mean=(0.0,), deviation=(255.0,))
    with pytest.raises(UserError, match=r"output is tanh.*give --codec.mean 127.5"):
        RECIPE.prepare(config, dataclasses.replace(made, codec=codec), None)


def test_pictures_are_shown_with_their_holes_filled(monkeypatch, lively):
    kept = []
    monkeypatch.setattr(
        "training.evaluators.drawings.pictures.sheet",
        lambda found, captions, columns: kept.append(found.astype(int)),
    )
    config = dataclasses.replace(PRESETS["tiny"], missing="regions", overlap=0)
    prepared = RECIPE.prepare(config, RECIPE.recipe(config), None)
    (look,) = RECIPE.evaluators(lively(context_encoder.build(config)), prepared)
    assert set(look()) == {"reconstructions"}
    whole, holed, filled = kept[0][:8], kept[0][8:16], kept[0][16:24]
    gone = (holed != whole) | (filled != whole)
    assert 0.15 < gone.mean() <= 0.25 and (holed[gone] == 78).all()
    assert (filled[gone] != 78).mean() > 0.5


def test_features_are_asked_what_they_know_of_classes():
    config = dataclasses.replace(PRESETS["digits-features"], widths=(4, 4, 4))
    prepared = RECIPE.prepare(config, RECIPE.recipe(config), None)
    *_, look = RECIPE.evaluators(context_encoder.build(config), prepared)
    assert set(look()) == {"neighbours", "neighbour_accuracy", "probe_accuracy"}


SIDES = {"widths": (4, 8, 8, 8, 4), "size": 67}


@pytest.mark.parametrize(
    ("name", "mine", "theirs"),
    [
        (
            "resnet",
            dataclasses.replace(PRESETS["digits-features"], widths=(4, 8, 8)),
            resnet.Config(
                classes=3, size=8, channels=1, stem="cifar", widths=(4, 8, 8), depths=(1, 1, 1)
            ),
        ),
        (
            "alexnet",
            dataclasses.replace(PRESETS["alexnet-227"], **SIDES),
            alexnet.Config(classes=3, hidden=(5, 6), **SIDES),
        ),
    ],
)
def test_a_classifier_begins_with_the_features(make_run, lively, tmp_path, name, mine, theirs):
    model = lively(context_encoder.build(mine))
    save_file({v.path: v.numpy() for v in model.weights}, tmp_path / "weights.safetensors")
    run = make_run(model=name, init_from=str(tmp_path / "weights.safetensors"))
    run = dataclasses.replace(run, config=theirs)
    keras.utils.set_random_seed(7)
    classifier, said = {"resnet": resnet, "alexnet": alexnet}[name].build(theirs), []
    initial.take(initial.read(run, classifier), classifier, said.append)
    known = {v.path: v.numpy() for v in model.encoder.weights}
    taken = {v.path for v in classifier.weights if v.path in known}
    assert taken == set(known)
    assert f"{len(known)} of {len(classifier.weights)} tensors were taken" in said[-1]
    for variable in classifier.weights:
        if variable.path in known:
            np.testing.assert_array_equal(variable, known[variable.path])
