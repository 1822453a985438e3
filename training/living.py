"""Data that depend on what the model has learnt, as those of an agent that acts do.

The loop asks all data the same: for how many steps from here are there batches? Data that were
there before the model have them for all; data that come from acting are made meanwhile, by the
model as it now is. What such data have become is not in any step's number, so it is saved with the
checkpoint (decision 0034).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

Arrays = Mapping[str, np.ndarray]
Errors = Callable[[], list[np.ndarray]]  # place and error of the rows of each update since then


@runtime_checkable
class Living(Protocol):
    """Data that are made while a run goes on; see `training.loop.Data` for `batches`."""

    def batches(
        self, split: str, batch_size: int, *, seed: int, start: int = 0
    ) -> tf.data.Dataset: ...

    def follow(
        self, model: Any, *, seed: int, batch_size: int, errors: Errors | None = None
    ) -> None:
        """Begins with the model whose weights decide what is done; `snapshot` is that of step 0.

        Args:
            errors: Gives, once, what each update since the last call found of its rows, float64
                [rows, 2]: the `place` that the batch had for it, and the size of the error there.
        """

    def ready(self, step: int, most: int) -> int:
        """Makes batches from `step` on; for how many steps, at least 1 and at most `most`."""

    def facts(self) -> dict[str, float]:
        """Numbers of the interval since the last call, for the log."""

    def snapshot(self) -> Arrays:
        """All that a run needs besides its step to go on the same; may be views, to be copied."""

    def restore(self, state: Arrays) -> None:
        """Sets everything to what `snapshot` once gave.

        Raises:
            ValueError: it is the state of other data.
        """

    def close(self) -> None:
        """Ends what waits for more."""


@dataclasses.dataclass(frozen=True)
class Given:
    """Data that were there before the model: batches for every step, and no state."""

    data: Any

    def batches(self, split: str, batch_size: int, *, seed: int, start: int = 0) -> tf.data.Dataset:
        return self.data.batches(split, batch_size, seed=seed, start=start)

    def follow(
        self, model: Any, *, seed: int, batch_size: int, errors: Errors | None = None
    ) -> None:
        return None

    def ready(self, step: int, most: int) -> int:
        return most

    def facts(self) -> dict[str, float]:
        return {}

    def snapshot(self) -> Arrays:
        return {}

    def restore(self, state: Arrays) -> None:
        if state:
            raise ValueError(f"it holds {next(iter(state))}, and these data have no state")

    def close(self) -> None:
        return None


def of(data: Any) -> Living:
    """The data as the loop sees them."""
    return data if isinstance(data, Living) else Given(data)


def begin(data: Any, learner: Any, *, seed: int, batch_size: int) -> Living:
    """The data as the loop sees them, following the run's learner."""
    living = of(data)
    errors = getattr(learner, "errors", None)  # of a learner that tells them
    living.follow(learner.model, seed=seed, batch_size=batch_size, errors=errors)
    return living
