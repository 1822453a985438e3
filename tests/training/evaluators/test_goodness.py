"""The histogram of goodness: what is counted, what is drawn."""

import numpy as np
import pytest

from kmodels import forward_forward
from training import recipes
from training.evaluators import goodness


@pytest.fixture(scope="module")
def made():
    config = forward_forward.PRESETS["tiny"]
    module = recipes.load("forward_forward")
    return module.prepare(config, module.recipe(config), None)


def test_all_held_out_pictures_are_counted_once_in_each_layer(made, monkeypatch):
    seen = []
    monkeypatch.setattr(goodness, "picture", lambda shares: seen.append(shares) or shares)
    model = forward_forward.build(made.config)
    goodness.histograms(model, made)()
    assert seen[0].shape == (2, 3, 360) and (seen[0] >= 0).all()
    batch = next(iter(made.data.batches("eval", 5, seed=0)))
    labels = np.eye(10, dtype=np.float32)[batch["label"].numpy()]
    states = model.states(batch["image"], labels)
    wanted = [s.goodness / n for s, n in zip(states, made.config.hidden, strict=True)]
    np.testing.assert_allclose(seen[0][0, :, :5], wanted, rtol=1e-5)
    assert (seen[0][0] != seen[0][1]).any()


def test_the_picture_says_how_many_are_told_apart():
    shares = np.stack([[[2.0, 2.0, 0.5]], [[1.0, 3.0, 0.2]]])
    assert goodness.told_apart(shares[:, 0]) == pytest.approx(2 / 3)
    drawn = goodness.picture(shares)
    assert drawn.dtype == np.uint8 and drawn.shape[-1] == 3 and len(np.unique(drawn)) > 10


def test_layers_that_say_nothing_can_be_drawn():
    assert goodness.picture(np.zeros((2, 2, 4))).ndim == 3
