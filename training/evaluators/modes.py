"""Which modes of a mixture a generator has found, and how much it makes between them."""

from typing import Any

import numpy as np
import tensorflow as tf

from kmodels.core.paper import Endpoint
from training.data.mixtures import Mixture
from training.evaluators.pictures import drawn
from training.loop import Evaluator

POINTS = 2500  # as Srivastava et al. 2017 and Lin et al. 2018 count
NEAR = 3  # deviations from the nearest centre within which a point is of high quality
SHARE = 0.01  # of all points that a mode needs to count for more than luck


def found(endpoint: Endpoint, source: Mixture, *, count: int = POINTS) -> Evaluator:
    """A function that gives the numbers of `measured` and {"points": a picture}, of fixed seeds.

    Args:
        endpoint: Takes `seed`, gives `features` [B, 2].
    """
    generate = tf.function(endpoint.function, autograph=False)
    real = np.asarray(source.eval.read(tf.range(min(count, len(source.eval.labels)))))

    def look() -> dict[str, Any]:
        points = generate(seed=tf.range(count, dtype=tf.int64))["features"].numpy()
        numbers = measured(points, source.centres, source.deviation)
        return {**numbers, "points": scattered(real, points)}

    return look


def measured(points: np.ndarray, centres: np.ndarray, deviation: float) -> dict[str, float]:
    """How well points [n, 2] cover modes at centres [K, 2].

    Returns:
        modes: Those with at least one point of high quality, which may be luck.
        modes_1_percent: Those with a hundredth of all points, of high quality.
        high_quality: Share of points within three deviations of the nearest centre.
        reverse_kl: KL divergence, nats, of the shares of points by nearest centre, from equal
            shares; 0 where all modes are as frequent, log K where there is one.
    """
    distances = np.linalg.norm(points[:, None].astype(np.float64) - centres, axis=-1)
    nearest, good = distances.argmin(1), distances.min(1) <= NEAR * deviation
    hits = np.bincount(nearest[good], minlength=len(centres))
    shares = np.bincount(nearest, minlength=len(centres)) / len(points)
    there = shares[shares > 0]
    return {
        "modes": float((hits > 0).sum()),
        "modes_1_percent": float((hits >= SHARE * len(points)).sum()),
        "high_quality": float(good.mean()),
        "reverse_kl": float((there * np.log(there * len(centres))).sum()),
    }


def scattered(real: np.ndarray, made: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: made points over real ones, whose range is what is shown."""

    def paint(figure: Any) -> None:
        axis = figure.add_subplot()
        axis.scatter(*real.T, s=4, color="#8fa6b8", label="real", linewidths=0)
        axis.scatter(*made.T, s=4, color="#c1440e", label="made", linewidths=0, alpha=0.5)
        low, high = real.min(0), real.max(0)
        margin = 0.15 * (high - low)
        axis.set_xlim(low[0] - margin[0], high[0] + margin[0])
        axis.set_ylim(low[1] - margin[1], high[1] + margin[1])
        axis.set_aspect("equal")
        axis.legend(loc="upper right", frameon=False)

    return drawn(paint, width=5.0, height=5.0)
