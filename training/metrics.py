"""How far made examples are from real ones, told by features: functions of arrays, in float64.

Features are rows [n, D], what a network sees in pictures (`training.extractors`). What any of these
numbers means depends on that network and on how many rows there are, so each belongs beside the
same number of two real samples of that size.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

PAIRS = 8_000_000  # distances that are held at once
SUBSETS, SUBSET = 100, 1000  # of `kid`, as its authors' program has them
MANIFOLD, BALL = 3, 5  # neighbours: Kynkäänniemi et al. 2019, Naeem et al. 2020
WIDTHS = np.logspace(-2, 0, 25)  # of `parzen`, where rows lie in [0, 1]


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Mean float64 [D] and covariance [D, D] of some rows."""

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> "Moments":
        """Of rows [n, D]; the covariance is over n - 1.

        Raises:
            ValueError: there are fewer than two rows.
        """
        rows = _checked(rows, 2)
        return cls(rows.mean(axis=0), np.cov(rows, rowvar=False, ddof=1).reshape(rows.shape[1], -1))


def frechet(one: Moments, other: Moments) -> float:
    """Fréchet's distance of two normal distributions, squared; 0 where they are the same.

    |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)): Dowson and Landau 1982. Heusel et al. 2017, equation
    6, take it of one network's features and call it FID, which no other features give. The root's
    trace is that of (C^(1/2) C' C^(1/2))^(1/2), which is symmetric.
    """
    values, vectors = np.linalg.eigh(one.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    both = np.linalg.eigvalsh(root @ other.covariance @ root)
    away = ((one.mean - other.mean) ** 2).sum()
    spread = np.trace(one.covariance) + np.trace(other.covariance)
    return max(0.0, float(away + spread - 2 * np.sqrt(np.maximum(both, 0)).sum()))


def mmd(one: np.ndarray, other: np.ndarray) -> float:
    """Squared maximum mean discrepancy without bias, by the kernel (x.y / D + 1)^3.

    Gretton et al. 2012, lemma 6; Bińkowski et al. 2018, section 4, for the kernel. 0 on average
    where both samples are of one distribution, so it may be below 0 by chance.

    Raises:
        ValueError: a sample has fewer than two rows.
    """
    one, other = _checked(one, 2), _checked(other, 2)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        alike = x @ y.T / x.shape[1] + 1
        return np.asarray(alike * alike * alike)  # a power takes ten times as long

    def own(x: np.ndarray) -> float:
        pairs = kernel(x, x)
        return float((pairs.sum() - np.trace(pairs)) / (len(x) * (len(x) - 1)))

    return own(one) + own(other) - 2 * float(kernel(one, other).mean())


def kid(real: np.ndarray, made: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of `mmd` over subsets of both (Bińkowski et al. 2018, section 4).

    A hundred subsets, always the same, of 1,000 rows or of half the smaller sample. They share
    rows, so the deviation says how much a sample of that size tells, and is no error of the mean.

    Raises:
        ValueError: a sample has fewer than four rows.
    """
    real, made = _checked(real, 4), _checked(made, 4)
    size, rng = min(SUBSET, len(real) // 2, len(made) // 2), np.random.default_rng(0)

    def drawn(rows: np.ndarray) -> np.ndarray:
        return rows[rng.choice(len(rows), size, replace=False)]

    found = [mmd(drawn(real), drawn(made)) for _ in range(SUBSETS)]
    return float(np.mean(found)), float(np.std(found))


def precision_recall(
    real: np.ndarray, made: np.ndarray, *, k: int = MANIFOLD
) -> tuple[float, float]:
    """Shares of made rows among the real, and of real rows among the made, each in [0, 1].

    A row is among others where it lies in a ball around one of them that reaches as far as that
    one's k-th neighbour (Kynkäänniemi et al. 2019, equations 1 and 2).

    Raises:
        ValueError: a sample has no k neighbours.
    """
    return float((_balls(real, made, k)[0] > 0).mean()), float(
        (_balls(made, real, k)[0] > 0).mean()
    )


def density_coverage(real: np.ndarray, made: np.ndarray, *, k: int = BALL) -> tuple[float, float]:
    """In how many real rows' balls made ones lie, over k; the share of these balls that hold any.

    Naeem et al. 2020, section 3. One strange real row, with its large ball, counts once here and
    can make the whole of `precision_recall`. Density is 1 on average where the distributions are
    alike and may be higher; coverage lies in [0, 1].

    Raises:
        ValueError: the real sample has no k neighbours.
    """
    around, inside = _balls(real, made, k)
    return float(around.mean() / k), float((inside > 0).mean())


def two_sample(real: np.ndarray, made: np.ndarray) -> tuple[float, float]:
    """How often neighbours tell made rows from real ones, and the chance of that were they alike.

    Lopez-Paz and Oquab 2017, section 3, with their classifier by neighbours: a random half of each
    sample is known, and of each row of the other halves the nearest known ones vote, as many as the
    root of all that are known. Accuracy is 1/2 for samples of one distribution and one size; then
    it is normal with the variance 1 / (4 n) over n rows, whose upper tail is the second number. Of
    unequal samples, a guess for the larger one is right more often.

    Raises:
        ValueError: a sample has fewer than four rows.
    """
    rng = np.random.default_rng(0)
    halves = [np.array_split(rng.permutation(_checked(rows, 4)), 2) for rows in (real, made)]
    known = np.concatenate([half for half, _ in halves])
    is_made = np.repeat([False, True], [len(half) for half, _ in halves])
    voters = math.isqrt(len(known))
    right = asked = 0
    for truth, (_, rows) in enumerate(halves):
        for _, distances in _distances(rows, known):
            near = np.argpartition(distances, voters - 1, axis=1)[:, :voters]
            said = is_made[near].mean(axis=1) > 0.5
            right, asked = right + int((said == truth).sum()), asked + len(said)
    accuracy = right / asked
    above = (accuracy - 0.5) * math.sqrt(4 * asked)
    return accuracy, 0.5 * math.erfc(above / math.sqrt(2))


def nearest(rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Each row's distance to the nearest known row, float64 [n]."""
    rows, known = _checked(rows, 1), _checked(known, 1)
    squares = [distances.min(axis=1) for _, distances in _distances(rows, known)]
    return np.asarray(np.sqrt(np.concatenate(squares)))


def nearer(distances: np.ndarray, others: np.ndarray) -> float:
    """The share of pairs in which the first distance is the smaller one; equal ones count half.

    Of made rows' and of held-out rows' distances to the nearest training row it tells copies: 1/2
    where made rows are as far as new ones, 1 where all are nearer (Meehan et al. 2020: the
    statistic of Mann and Whitney).
    """
    ordered = np.sort(others)
    above = len(ordered) - np.searchsorted(ordered, distances, "right")
    below = np.searchsorted(ordered, distances, "left")
    same = len(ordered) - above - below
    return float(np.mean(above + same / 2) / len(ordered))


def parzen(made: np.ndarray, others: np.ndarray, real: np.ndarray) -> tuple[float, float, float]:
    """How likely real rows are where made ones have Gaussians around them (Goodfellow et al. 2014).

    Unreliable: a generator that repeats training rows gets more than the data's own distribution,
    and with thousands of rows in hundreds of dimensions the number is far from any likelihood
    (Theis, van den Oord, Bethge 2016, sections 3.1 and 3.3). It stands here for the papers that
    print it.

    Args:
        made: [n, D], in [0, 1].
        others: Real rows, by whose likelihood the Gaussians' width is chosen among `WIDTHS`.
        real: [m, D], other real rows, at least two.

    Returns:
        The mean log-likelihood in nats, its standard error over the real rows, and the width.
    """
    made = _checked(made, 1)
    means = [row.mean() for row in _densities(made, _checked(others, 1), WIDTHS)]
    width = WIDTHS[np.argmax(means)]
    (found,) = _densities(made, _checked(real, 2), np.array([width]))
    return float(found.mean()), float(found.std(ddof=1) / math.sqrt(len(found))), float(width)


def _densities(centres: np.ndarray, rows: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Log-densities [widths, n] of rows under equal Gaussians around the centres."""
    parts = []
    for _, distances in _distances(rows, centres):
        least = distances.min(axis=1)
        beyond = distances - least[:, None]
        sums = [np.exp(-beyond / (2 * width**2)).sum(axis=1) for width in widths]
        parts.append(np.log(sums) - least / (2 * widths[:, None] ** 2))
    constant = math.log(len(centres)) + centres.shape[1] * np.log(widths * math.sqrt(2 * math.pi))
    found: np.ndarray = np.concatenate(parts, axis=1) - constant[:, None]
    return found


def _balls(centres: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Around how many centres each row lies, int [n], and how many rows around each, int [m].

    A ball reaches to the centre's k-th neighbour among the centres, its edge included.
    """
    centres, rows = _checked(centres, k + 1), _checked(rows, 1)
    reach = np.empty(len(centres))
    for first, distances in _distances(centres, centres):
        own = np.arange(len(distances))
        distances[own, first + own] = np.inf
        reach[first : first + len(distances)] = np.partition(distances, k - 1, axis=1)[:, k - 1]
    around, inside = [], np.zeros(len(centres), int)
    for _, distances in _distances(rows, centres):
        within = distances <= reach
        around.append(within.sum(axis=1))
        inside += within.sum(axis=0)
    return np.concatenate(around), inside


def _distances(rows: np.ndarray, others: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Squared distances [some, m] of a few rows at a time, and which row is the first of them."""
    middle = others.mean(axis=0)  # near it products lose the fewest digits
    rows, others = rows - middle, others - middle
    squares = (others**2).sum(axis=1)
    few = max(1, PAIRS // len(others))
    for first in range(0, len(rows), few):
        part = rows[first : first + few]
        apart = (part**2).sum(axis=1)[:, None] + squares - 2 * part @ others.T
        yield first, np.maximum(apart, 0)


def _checked(rows: np.ndarray, least: int) -> np.ndarray:
    """The rows in float64; raises ValueError where there are too few."""
    if len(rows) < least:
        raise ValueError(f"There are {len(rows)} rows of features; this takes at least {least}.")
    return rows.astype(np.float64, copy=False)
