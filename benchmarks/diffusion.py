"""How near do samples of few steps come to data whose best network is known?

    python -m benchmarks.diffusion --rounds 5

The data are normal, so that the noise to be expected is known in closed form and nothing is
trained: what is left are the errors of the samplers. For each number of steps and each eta it tells
the Fréchet distance between the samples' mean and covariance and the data's, which would be zero,
and in `floor` that of as many draws from the data themselves.
"""

import dataclasses

import numpy as np
import tensorflow as tf
import tyro

from benchmarks import record
from kmodels.core import diffusion, rows

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
        save: Whether to write docs/results/diffusion.json and .png.
    """

    rounds: int = 5
    samples: int = 2000
    steps: tuple[int, ...] = (5, 10, 20, 50, 100, 1000)
    etas: tuple[float, ...] = (0.0, 0.5, 1.0)
    save: bool = True


def expected(process: diffusion.Process) -> diffusion.Predict:
    """The noise to be expected in x_t [B, 2]."""

    def predict(x: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
        bar = tf.cast(process.alpha_bar(times), tf.float32)[:, None]
        away = x - tf.sqrt(bar) * tf.constant(MEAN, tf.float32)
        spread = bar[..., None] * tf.constant(COVARIANCE, tf.float32)
        spread += (1 - bar[..., None]) * tf.eye(2)
        return tf.sqrt(1 - bar) * tf.linalg.solve(spread, away[..., None])[..., 0]

    return predict


def distance(samples: np.ndarray) -> float:
    """Fréchet's between normal distributions: means, then covariances."""
    values, vectors = np.linalg.eigh(COVARIANCE)
    root = vectors * np.sqrt(values) @ vectors.T
    found = np.cov(samples.T)
    both = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ found @ root), 0)).sum()
    away = ((samples.mean(axis=0) - MEAN) ** 2).sum()
    return float(away + np.trace(found) + np.trace(COVARIANCE) - 2 * both)


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
            clip=False,
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


def main() -> None:
    """Draws, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.diffusion")
    rng = np.random.default_rng(0)
    own = [MEAN + rng.normal(size=(flags.samples, 2)) @ FACTOR.T for _ in range(flags.rounds)]
    floor = [distance(samples) for samples in own]
    print(f"floor: {np.median(floor):.5f}", flush=True)
    figures = measured(flags)
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
        )


if __name__ == "__main__":
    main()
