"""The paper's schedule by size of picture, and data that do not fit."""

import dataclasses
import pathlib

import numpy as np
import pytest

from kmodels import ddpm
from training import recipes
from training.config import UserError
from training.optimization import Adam, Constant

RECIPE = recipes.load("ddpm")


@pytest.mark.parametrize(
    ("preset", "rate", "batch_size", "steps", "data"),
    [
        ("cifar10", 2e-4, 128, 800_000, "cifar10"),
        ("celeba64", 2e-4, 128, 500_000, "image_folder"),
        ("256px", 2e-5, 64, 500_000, "image_folder"),
        ("digits", 2e-4, 128, 800_000, "digits"),
        ("points", 2e-4, 128, 800_000, "ring"),
    ],
)
def test_the_papers_numbers(preset, rate, batch_size, steps, data):
    made = RECIPE.paper(ddpm.PRESETS[preset])
    assert made.optimizer == Adam(learning_rate=rate, clip_norm=1.0)
    assert made.schedule == Constant(warmup_steps=5000)
    assert (made.batch_size, made.steps, made.data) == (batch_size, steps, data)
    assert 0.5 ** (batch_size / made.average_half_life) == pytest.approx(0.9999, rel=1e-8)


def test_small_pictures_are_for_a_cpu_and_pixels_are_of_minus_1_to_1():
    config = ddpm.PRESETS["digits"]
    made = RECIPE.recipe(config)
    assert made == RECIPE.cpu(config) and made.average_half_life < made.steps * made.batch_size / 5
    prepared = RECIPE.prepare(config, made, None)
    seen = next(iter(prepared.data.batches("train", 64, seed=0)))["image"].numpy()
    assert seen.min() == -1 and seen.max() == 1
    assert prepared.codec.unsee(np.float32([[[[-1.0]]], [[[1.0]]]])).numpy().tolist() == [
        [[[0]]],
        [[[255]]],
    ]


def test_classes_of_other_data_are_a_sentence():
    config = dataclasses.replace(ddpm.PRESETS["tiny"], labels=7)
    with pytest.raises(UserError, match=r"10 classes and config.labels is 7; give --config.labels"):
        RECIPE.prepare(config, RECIPE.recipe(config), None)


@pytest.mark.parametrize(
    ("preset", "config", "data", "words"),
    [
        ("points", {}, "digits", "--data=digits has pictures, and config.inputs is 2, .* or grid"),
        ("digits", {}, "ring", "has points of 2 numbers, and .* pictures; give --preset=points"),
        ("points", {"inputs": 3}, "grid", "config.inputs is 3; give --config.inputs=2"),
        ("points", {"labels": 8}, "grid", "25 classes and config.labels is 8"),
        ("points", {}, "rings", "no data for this paper 'rings'. Did you mean 'ring'"),
    ],
)
def test_points_and_pictures_that_come_to_the_wrong_network_are_a_sentence(
    preset, config, data, words
):
    chosen = dataclasses.replace(ddpm.PRESETS[preset], **config)
    with pytest.raises(UserError, match=words):
        RECIPE.prepare(chosen, dataclasses.replace(RECIPE.recipe(chosen), data=data), None)


@pytest.mark.parametrize("data", ["ring", "grid"])
def test_points_are_seen_with_mean_0_and_deviation_1(data):
    config = ddpm.PRESETS["points"]
    made = RECIPE.recipe(config)
    assert made == RECIPE.cpu(config) and made.origin == "cpu"
    prepared = RECIPE.prepare(config, dataclasses.replace(made, data=data), None)
    source = prepared.data.source
    seen = prepared.codec.see(source.train.inputs).numpy()
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(seen.std(0), 1, atol=1e-4)
    batch = next(iter(prepared.data.batches("eval", 4, seed=0)))
    back = prepared.codec.unsee(batch["features"])
    np.testing.assert_allclose(back, source.eval.inputs[:4], atol=1e-6)
    given = dataclasses.replace(prepared.codec, mean=(1.0, 2.0))
    kept = RECIPE.prepare(config, dataclasses.replace(made, data=data), None, codec=given)
    assert kept.codec == given, "another run's stays as it is"


def test_the_question_asks_for_a_class_where_there_are_some():
    config = ddpm.PRESETS["tiny"]
    codec = RECIPE.prepare(config, RECIPE.recipe(config), None).codec
    words = RECIPE.ask(codec, config, pathlib.Path())
    assert words == """--signature=sample 'label=["9"]' 'seed=[1,2]'"""
    config = dataclasses.replace(config, labels=0)
    assert RECIPE.ask(codec, config, pathlib.Path()) == "--signature=sample 'seed=[1,2]'"
