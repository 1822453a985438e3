"""What the network for points learns of data whose best network is known in closed form."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import ddpm
from kmodels.core import rows
from kmodels.core.denoising import NO_LABEL
from training import prepared, step
from training.config import Run
from training.data.labelled import Source, Split
from training.learners import gradient
from training.objectives.denoising import denoising
from training.recipes import ddpm as recipes

MEAN, FACTOR = np.array([3.0, -5.0]), np.array([[4.0, 0.0], [0.3, 0.2]])
COVARIANCE = FACTOR @ FACTOR.T
STEPS = 600
CONFIG = dataclasses.replace(ddpm.PRESETS["points"], width=32, blocks=2)


def normal(count, seed):
    return MEAN + np.random.default_rng(seed).normal(size=(count, 2)) @ FACTOR.T


@pytest.fixture(scope="module")
def learnt():
    """A network for normal points after some seconds, and the codec of its data."""
    parts = [
        Split(inputs=normal(count, count).astype(np.float32), labels=np.zeros(count, np.int32))
        for count in (20_000, 10)
    ]
    points = Source(train=parts[0], eval=parts[1], labels=("normal",), names=("x", "y"))
    recipe = dataclasses.replace(recipes.recipe(CONFIG), steps=STEPS, average_half_life=12_500)
    ready = prepared.features(CONFIG, recipe, points, codec=recipes.scaled(points))
    nowhere = {"run_dir": pathlib.Path("nowhere"), "export_dir": pathlib.Path("nowhere")}
    run = Run(model="ddpm", preset="points", config=CONFIG, recipe=recipe, **nowhere)
    keras.utils.set_random_seed(0)
    learner = gradient.make(ddpm.build(CONFIG), denoising, run)
    many = step.repeat(learner.train_step, tf.distribute.get_strategy())
    many(iter(ready.data.batches("train", recipe.batch_size, seed=0)), STEPS)
    with learner.averaged():
        yield learner.model, ready.codec


def best(process, x, times, mean, covariance):
    """The noise that is to be expected in x_t of normal data."""
    bar = process.alpha_bars[times + 1][:, None]
    spread = bar[..., None] * covariance + (1 - bar[..., None]) * np.eye(2)
    away = x - np.sqrt(bar) * mean
    return np.sqrt(1 - bar) * np.linalg.solve(spread, away[..., None])[..., 0]


def test_its_loss_comes_near_the_least_there_is(learnt):
    model, codec = learnt
    scale, count = np.array(codec.deviation), 50_000
    mean, covariance = (MEAN - codec.mean) / scale, COVARIANCE / np.outer(scale, scale)
    bars = model.process.alpha_bars[1:, None]
    kept = bars * np.linalg.eigvalsh(covariance)
    least = (kept / (kept + 1 - bars)).mean()  # what is left of the noise's variance
    rng = np.random.default_rng(5)
    times, noise = rng.integers(0, model.process.steps, count), rng.normal(size=(count, 2))
    bar = model.process.alpha_bars[times + 1][:, None]
    x = np.sqrt(bar) * (normal(count, 6) - codec.mean) / scale + np.sqrt(1 - bar) * noise
    said = model(tf.constant(x, tf.float32), tf.constant(times)).numpy()
    wanted = best(model.process, x, times, mean, covariance)
    assert ((wanted - noise) ** 2).mean() == pytest.approx(least, rel=0.02), "the closed form"
    assert ((said - noise) ** 2).mean() < 1.06 * least
    assert ((said - wanted) ** 2).mean() < 0.04 * least


def quick(seeds, shape, turn=0):
    """One draw for all rows: a row's own is not in question where thousands are counted."""
    return tf.random.stateless_normal([tf.size(seeds), *shape], tf.stack([7, turn]))


def test_its_samples_have_the_mean_and_covariance_of_the_data(learnt, monkeypatch):
    """By the random walk, which forgets an error that DDIM would carry to the end."""
    model, codec = learnt
    count = 4000
    monkeypatch.setattr(rows, "normal", quick)

    def draw():
        options = {
            "steps": tf.fill([count], 250),
            "eta": tf.ones([count]),
            "labels": tf.fill([count], NO_LABEL),
            "scale": tf.ones([count]),
        }
        seeds = tf.range(count, dtype=tf.int64)
        return codec.unsee(model.sample(model.noise(seeds), seeds, **options))

    made = tf.function(draw, autograph=False)().numpy()
    axes = np.sqrt(np.diag(COVARIANCE))
    np.testing.assert_allclose((made.mean(axis=0) - MEAN) / axes, 0, atol=0.1)
    scale = np.outer(axes, axes)
    np.testing.assert_allclose(np.cov(made.T) / scale, COVARIANCE / scale, atol=0.1)
