"""The grid and the strip are pictures of the network as it is."""

import dataclasses

import numpy as np
import pytest

from kmodels import ddpm
from training import recipes
from training.evaluators import denoised


@pytest.mark.parametrize("labels", [10, 0])
def test_samples_and_a_strip_are_drawn_and_follow_the_weights(labels, lively):
    module = recipes.load("ddpm")
    config = dataclasses.replace(ddpm.PRESETS["tiny"], labels=labels)
    prepared = module.prepare(config, module.recipe(config), None)
    model = lively(ddpm.build(config))
    looks = module.evaluators(model, prepared)
    first = {name: picture for look in looks for name, picture in look().items()}
    assert set(first) == {"samples", "denoised"}
    for picture in first.values():
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[-1] == 3
        assert len(np.unique(picture)) > 10, "something is drawn"
    again = denoised.samples(model, prepared)()["samples"]
    np.testing.assert_array_equal(again, first["samples"])
    lively(model, seed=1)
    assert (looks[0]()["samples"] != first["samples"]).any()
