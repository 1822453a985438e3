"""The paper's schedule by size of picture, data that do not fit, and the first question."""

import dataclasses
import pathlib

import numpy as np
import pytest

from kmodels import jigsaw
from training import recipes
from training.config import ImageCodecChoice, UserError
from training.optimization import SGD, Step

RECIPE = recipes.load("jigsaw")


@pytest.mark.parametrize(
    ("preset", "data", "short"),
    [("cfn", "image_folder", 256), ("cfn-255", "image_folder", 255), ("cifar10", "cifar10", None)],
)
def test_the_papers_numbers(preset, data, short):
    made = RECIPE.paper(jigsaw.PRESETS[preset])
    assert made.optimizer == SGD(
        learning_rate=0.01, momentum=0.9, weight_decay=5e-4, decay="matrices", bias_rate=2.0
    )
    assert made.schedule == Step(boundaries=(100_000, 200_000, 300_000), factor=0.1)
    assert (made.batch_size, made.steps) == (256, 350_000)
    assert (made.data, made.codec.short, made.origin) == (data, short, "paper")


def test_photographs_are_the_papers_and_small_pictures_for_a_cpu():
    for name, config in jigsaw.PRESETS.items():
        chosen = RECIPE.recipe(config)
        assert chosen == (RECIPE.paper if name.startswith("cfn") else RECIPE.cpu)(config)
    tried = RECIPE.cpu(jigsaw.PRESETS["cfn"])
    assert (tried.steps, tried.data) == (20, "digits")


def test_pictures_are_whole_and_centred():
    config = jigsaw.PRESETS["digits"]
    prepared = RECIPE.prepare(config, RECIPE.recipe(config), None)
    seen = next(iter(prepared.data.batches("train", 200, seed=0)))["image"].numpy()
    assert seen.shape == (200, 24, 24, 1)
    assert abs(seen.mean()) < 0.05 and 0.8 < seen.std() < 1.1


def test_a_mean_for_each_place_is_a_sentence():
    config = jigsaw.PRESETS["tiny"]
    recipe = dataclasses.replace(
        RECIPE.recipe(config), codec=ImageCodecChoice(mean=(0.0,) * 256, deviation=(255.0,))
    )
    with pytest.raises(UserError, match=r"codec.mean has 256 numbers; tiles lie anywhere"):
        RECIPE.prepare(config, recipe, None)


def test_an_evaluation_shows_puzzles_and_what_features_know(lively):
    config = jigsaw.PRESETS["tiny"]
    prepared = RECIPE.prepare(config, RECIPE.recipe(config), None)
    model = lively(jigsaw.build(config))
    shown = {k: v for look in RECIPE.evaluators(model, prepared) for k, v in look().items()}
    assert {"puzzles", "neighbours", "probe_accuracy", "neighbour_accuracy"} == set(shown)
    assert shown["puzzles"].dtype == np.uint8 and shown["puzzles"].shape[-1] == 3
    assert 0.3 < shown["probe_accuracy"] <= 1


def test_the_question_asks_for_a_pictures_features():
    config = jigsaw.PRESETS["tiny"]
    codec = RECIPE.prepare(config, RECIPE.recipe(config), None).codec
    words = RECIPE.ask(codec, config, pathlib.Path("/x"))
    assert words == "--signature=embed image_bytes=@/x/assets.extra/codec/example-0.png"
