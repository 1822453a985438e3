"""The grid and the strip are pictures of the network as it is."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

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


def test_points_are_counted_as_the_endpoint_makes_them(lively, monkeypatch):
    module, config = recipes.load("ddpm"), dataclasses.replace(ddpm.PRESETS["points"], width=8)
    prepared = module.prepare(config, module.recipe(config), None)
    model, made = lively(ddpm.build(config)), []
    count = denoised.modes.measured

    def measured(points, centres, deviation):
        made.append(points)
        return count(points, centres, deviation)

    monkeypatch.setattr(denoised.modes, "measured", measured)
    monkeypatch.setattr(denoised, "WALK", 5)
    assert len(module.evaluators(model, prepared)) == 1
    look = denoised.points(model, prepared, count=30)
    shown = look()
    assert {"modes", "high_quality", "reverse_kl", "points"} <= set(shown)
    assert shown["points"].dtype == np.uint8 and len(np.unique(shown["points"])) > 10
    sample = ddpm.endpoints(model, prepared.codec)["sample"]
    options = {"steps": tf.constant([denoised.WALK]), "eta": tf.constant([1.0])}
    wanted = sample.function(seed=tf.range(2, dtype=tf.int64), **options)["features"]
    np.testing.assert_allclose(made[0][:2], wanted, rtol=1e-3, atol=1e-3)
    assert made[0].shape == (30, 2)
    lively(model, seed=1)
    look()
    assert (made[0] != made[1]).any(), "it follows the weights"
