"""Points of several Gaussians: what a generative model should find all of, and nothing between."""

import dataclasses
import pathlib

import numpy as np

from training.data.labelled import Source, Split

TRAIN, EVAL = 100_000, 10_000


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Mixture(Source):
    """A source that says what it was drawn from: each point's class is its Gaussian.

    Attributes:
        centres: float64 [K, 2], all equally likely.
        deviation: Of each coordinate.
    """

    centres: np.ndarray
    deviation: float


def mixture(
    name: str, centres: np.ndarray, *, deviation: float, data_dir: pathlib.Path | None
) -> Mixture:
    """100,000 points float32 [n, 2] to learn from and 10,000 held out, the same every time.

    Raises:
        ValueError: a folder is given, which such a source has no use for.
    """
    if data_dir is not None:
        raise ValueError(
            f"--data={name} is drawn here and reads no folder, and --data-dir={data_dir} was given."
        )
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        modes = rng.integers(0, len(centres), count)
        points = centres[modes] + rng.normal(0, deviation, (count, 2))
        return Split(inputs=points.astype(np.float32), labels=modes.astype(np.int32))

    return Mixture(
        train=split(TRAIN),
        eval=split(EVAL),
        labels=tuple(f"{x:.3g}, {y:.3g}" for x, y in centres + 0.0),  # no -0
        names=("x", "y"),
        centres=centres,
        deviation=deviation,
    )
