"""How near do samples, and a trained network, come to data whose best network is known?

    python -m benchmarks.diffusion --rounds 5

The data are normal, so that the noise to be expected is known in closed form. First nothing is
trained: what is left are the errors of the samplers. For each number of steps and each eta it tells
the Fréchet distance between the samples' mean and covariance and the data's, which would be zero,
and in `floor` that of as many draws from the data themselves.

Then the network for points is trained by its recipe. The least loss that there is, the mean over
all times of the variance that is left of the noise, has a closed form too. What a network loses
beyond it is its mean squared distance from the best prediction, which is told by itself: it is far
below what chance makes of two losses. Samples are by DDIM through all times.
"""

import dataclasses
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tyro

from benchmarks import record
from kmodels import ddpm
from kmodels.core import diffusion, rows
from kmodels.core.codecs.features import Features
from kmodels.core.denoising import NO_LABEL
from training import metrics, prepared, step, strategy
from training import run as command
from training.config import Run
from training.data.labelled import Source, Split
from training.metrics import Moments
from training.recipes import ddpm as recipes

TRAIN = 100_000  # points to learn from
PARTS, PART = 100, 10_000  # points on which losses are taken, each at a random time
MEAN, FACTOR = np.array([0.3, -0.5]), np.array([[0.4, 0.0], [0.3, 0.2]])
COVARIANCE = FACTOR @ FACTOR.T


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Draws with each number of steps, several times.

    Attributes:
        rounds: Draws from other seeds.
        samples: In one draw.
        steps: Numbers of steps, of a thousand.
        etas: 0 is DDIM, 1 is DDPM.
        seeds: Of networks that are trained, one each.
        train_steps: Of each network.
        save: Whether to write docs/results/diffusion.json and .png.
    """

    rounds: int = 5
    samples: int = 2000
    steps: tuple[int, ...] = (5, 10, 20, 50, 100, 1000)
    etas: tuple[float, ...] = (0.0, 0.5, 1.0)
    seeds: tuple[int, ...] = (0, 1, 2)
    train_steps: int = 4000
    save: bool = True


def expected(
    process: diffusion.Process, mean: np.ndarray = MEAN, covariance: np.ndarray = COVARIANCE
) -> diffusion.Predict:
    """The noise to be expected in x_t [B, 2]."""

    def predict(x: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
        bar = tf.cast(process.alpha_bar(times), tf.float32)[:, None]
        away = x - tf.sqrt(bar) * tf.constant(mean, tf.float32)
        spread = bar[..., None] * tf.constant(covariance, tf.float32)
        spread += (1 - bar[..., None]) * tf.eye(2)
        return tf.sqrt(1 - bar) * tf.linalg.solve(spread, away[..., None])[..., 0]

    return predict


def distance(samples: np.ndarray) -> float:
    """Fréchet's, squared, between the normal distributions of the samples and of the data."""
    return metrics.frechet(Moments.of(samples), Moments(MEAN, COVARIANCE))


def measured(flags: Flags) -> dict[str, dict[str, list[float]]]:
    """Distances by number of steps, then by eta, one a round."""
    process = diffusion.Process.of("linear", 1000)

    def draw(first: tf.Tensor, steps: tf.Tensor, eta: tf.Tensor) -> tf.Tensor:
        seeds = first + tf.range(flags.samples, dtype=tf.int64)
        return diffusion.sample(
            process,
            expected(process),
            rows.normal(seeds, [2]),
            seeds=seeds,
            steps=tf.fill([flags.samples], steps),
            eta=tf.fill([flags.samples], eta),
            clip=None,
        )

    drawn = tf.function(draw, autograph=False, reduce_retracing=True)
    firsts = [tf.constant(i * flags.samples, tf.int64) for i in range(flags.rounds)]
    figures: dict[str, dict[str, list[float]]] = {}
    for steps in flags.steps:
        figures[f"{steps} steps"] = {}
        for eta in flags.etas:
            given = tf.constant(steps), tf.constant(eta)
            found = [distance(drawn(first, *given).numpy()) for first in firsts]
            figures[f"{steps} steps"][f"eta {eta:g}"] = found
            print(f"{steps:5d} steps, eta {eta:g}: {np.median(found):.5f}", flush=True)
    return figures


def least(process: diffusion.Process, covariance: np.ndarray) -> float:
    """The loss of the best prediction: the noise's variance that is left, over times and axes."""
    bars = process.alpha_bars[1:, None]
    kept = bars * np.linalg.eigvalsh(covariance)
    return float((kept / (kept + 1 - bars)).mean())


def source() -> Source:
    """Normal points to learn from."""
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        points = MEAN + rng.normal(size=(count, 2)) @ FACTOR.T
        return Split(inputs=points.astype(np.float32), labels=np.zeros(count, np.int32))

    return Source(train=split(TRAIN), eval=split(1), labels=("normal",), names=("x", "y"))


def trained(seed: int, *, steps: int, samples: int) -> dict[str, float]:
    """A network after so many steps: its loss, the least one, what it loses, and its samples."""
    began = time.perf_counter()
    config, points = ddpm.PRESETS["points"], source()
    recipe = dataclasses.replace(recipes.recipe(config), steps=steps)
    ready = prepared.features(config, recipe, points, codec=recipes.scaled(points))
    nowhere = pathlib.Path(os.devnull)
    run = Run(
        model="ddpm",
        preset="points",
        config=config,
        recipe=recipe,
        seed=seed,
        compile=recipe.xla,
        run_dir=nowhere,
        export_dir=nowhere,
    )
    one = tf.distribute.get_strategy()
    learner = command.learner_of(run, one)
    batches = ready.data.batches("train", recipe.batch_size, seed=seed)
    step.repeat(learner.train_step, one)(strategy.spread(batches, one), steps)
    with learner.averaged():
        made = drawn(learner.model, ready.codec, samples)
        found = losses(learner.model, ready.codec) | compared(made)
    return found | {"seconds": time.perf_counter() - began}


def losses(model: ddpm.DDPM, codec: Features) -> dict[str, float]:
    """The network's loss and the best prediction's on the same points, and how far they differ."""
    scale = np.array(codec.deviation)
    mean, covariance = (MEAN - codec.mean) / scale, COVARIANCE / np.outer(scale, scale)
    best = expected(model.process, mean, covariance)
    factor = tf.constant(FACTOR / scale[:, None], tf.float32)

    def errors(seed: tf.Tensor) -> tf.Tensor:
        count, most = PART, model.process.steps
        own, noise = tf.unstack(tf.random.stateless_normal([2, count, 2], [seed, 0]))
        times = tf.random.stateless_uniform([count], [seed, 1], maxval=most, dtype=tf.int32)
        clean = tf.constant(mean, tf.float32) + tf.matmul(own, factor, transpose_b=True)
        x = model.process.noised(clean, noise, times)
        said, wanted = model(x, times), best(x, times)
        pairs = ((said, noise), (wanted, noise), (said, wanted))
        return tf.stack([tf.reduce_mean(tf.square(a - b)) for a, b in pairs])

    part = tf.function(errors, autograph=False)
    means = np.mean([part(tf.constant(i)).numpy() for i in range(PARTS)], axis=0).tolist()
    found = dict(zip(("loss", "best_on_the_same", "beyond_the_best"), means, strict=True))
    return found | {"least": least(model.process, covariance)}


def drawn(model: ddpm.DDPM, codec: Features, samples: int) -> np.ndarray:
    """Points [samples, 2] by DDIM through all times."""

    def draw() -> tf.Tensor:
        seeds = tf.range(samples, dtype=tf.int64)
        options = {
            "steps": tf.fill([samples], model.process.steps),
            "eta": tf.zeros([samples]),
            "labels": tf.fill([samples], NO_LABEL),
            "scale": tf.ones([samples]),
        }
        return codec.unsee(model.sample(model.noise(seeds), seeds, **options))

    return np.asarray(tf.function(draw, autograph=False)())


def compared(samples: np.ndarray) -> dict[str, float]:
    """How far mean and covariance are from the data's, at most, and Fréchet's distance."""
    return {
        "mean_off": float(np.abs(samples.mean(axis=0) - MEAN).max()),
        "covariance_off": float(np.abs(np.cov(samples.T) - COVARIANCE).max()),
        "frechet": distance(samples),
    }


def learnt(flags: Flags) -> list[dict[str, float]]:
    """What `trained` gives for each seed, printed."""
    found = []
    for seed in flags.seeds:
        found.append(trained(seed, steps=flags.train_steps, samples=flags.samples))
        told = ", ".join(f"{name} {value:.5f}" for name, value in found[-1].items())
        print(f"network of seed {seed}: {told}", flush=True)
    return found


def main() -> None:
    """Draws, trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.diffusion")
    rng = np.random.default_rng(0)
    own = [MEAN + rng.normal(size=(flags.samples, 2)) @ FACTOR.T for _ in range(flags.rounds)]
    floor = [distance(samples) for samples in own]
    print(f"floor: {np.median(floor):.5f}", flush=True)
    figures = measured(flags)
    networks = learnt(flags)
    series = {
        f"eta {eta:g}": {
            steps: float(np.median(figures[f"{steps} steps"][f"eta {eta:g}"]))
            for steps in flags.steps
        }
        for eta in flags.etas
    }
    if flags.save:
        record.record(
            "diffusion",
            {"floor": {"data": floor}, **figures},
            unit="Fréchet distance",
            title="Samples of normal data by steps, with the best network there is",
            picture=lambda file: record.curves(
                file, series, ylabel="Fréchet distance to the data", scale="log"
            ),
            train_steps=flags.train_steps,
            networks=networks,
        )


if __name__ == "__main__":
    main()
