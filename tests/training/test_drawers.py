"""Pictures from 0 to 1, as networks take them that draw some."""

import dataclasses

import numpy as np
import pytest

from kmodels import autoencoder
from training import drawers, recipes
from training.config import ImageCodecChoice, UserError

CONFIG = autoencoder.PRESETS["tiny"]
RECIPE = recipes.load("autoencoder").recipe(CONFIG)


def test_pixels_lie_between_0_and_1_and_are_not_moved():
    made = drawers.prepare(CONFIG, RECIPE, None)
    inputs = made.data.source.train.inputs
    batch = next(iter(made.data.batches("train", 8, seed=0)))["image"].numpy()
    assert batch.shape == (8, 8, 8, 1) and batch.min() == 0 and batch.max() == 1
    known = {picture.tobytes() for picture in inputs}
    assert all(np.round(p * 255).astype(np.uint8).tobytes() in known for p in batch)
    assert drawers.prepare(CONFIG, RECIPE, None, codec=made.codec).codec is made.codec


@pytest.mark.parametrize("choice", [ImageCodecChoice(), ImageCodecChoice(mean=(127.5,))])
def test_a_codec_that_gives_other_numbers_is_a_sentence(choice):
    recipe = dataclasses.replace(RECIPE, codec=choice)
    with pytest.raises(UserError, match="lie between 0 and 1 takes 0 and 255"):
        drawers.prepare(CONFIG, recipe, None)


def test_other_data_are_a_sentence():
    with pytest.raises(UserError, match="no data for this paper 'logic'"):
        drawers.prepare(CONFIG, dataclasses.replace(RECIPE, data="logic"), None)
