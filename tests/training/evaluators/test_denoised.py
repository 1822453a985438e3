"""The grid and the strip are pictures of the network as it is."""

import dataclasses
import types

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
    assert len(looks) == 3
    first = {name: picture for look in looks[:2] for name, picture in look().items()}
    assert set(first) == {"samples", "denoised"}
    for picture in first.values():
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[-1] == 3
        assert len(np.unique(picture)) > 10, "something is drawn"
    again = denoised.samples(denoised.drawing(model, prepared.codec), model, prepared)
    np.testing.assert_array_equal(again()["samples"], first["samples"])
    alike = looks[2]()
    assert {"frechet_digits_resnet", "frechet_digits_resnet_floor"} < set(alike)
    lively(model, seed=1)
    assert (looks[0]()["samples"] != first["samples"]).any()
    assert looks[2]()["frechet_digits_resnet"] != alike["frechet_digits_resnet"]


def test_what_is_drawn_in_one_batch_is_what_the_endpoint_makes_of_each_class_in_turn(lively):
    module, config = recipes.load("ddpm"), ddpm.PRESETS["tiny"]
    codec = module.prepare(config, module.recipe(config), None).codec
    model = lively(ddpm.build(config))
    drawn = denoised.drawing(model, codec)(tf.constant([13, 4], tf.int64)).numpy()
    options = {"steps": tf.constant([10]), "eta": tf.zeros([1]), "guidance_scale": tf.ones([1])}
    made = ddpm.endpoints(model, codec)["sample"].function(
        seed=tf.constant([13, 4], tf.int64), label=tf.constant(["3", "4"]), **options
    )
    assert drawn.dtype == np.uint8
    assert np.abs(drawn.astype(int) - made["image"].numpy()).max() <= 1


def test_large_pictures_are_not_compared_while_they_are_learnt(monkeypatch):
    module = recipes.load("ddpm")
    small, large = (types.SimpleNamespace(config=ddpm.Config(size=s)) for s in (16, 32))
    prepared = types.SimpleNamespace(codec=None)
    monkeypatch.setattr(denoised, "drawing", lambda *given: None)
    monkeypatch.setattr(denoised, "samples", lambda *given: "samples")
    monkeypatch.setattr(denoised, "strip", lambda *given: "strip")
    monkeypatch.setattr(module.likeness, "make", lambda *given, count: [count])
    assert module.evaluators(small, prepared) == ["samples", "strip", module.ALIKE]
    assert module.evaluators(large, prepared) == ["samples", "strip"]


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
