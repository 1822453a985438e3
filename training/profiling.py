"""A profile of some steps, for TensorBoard: which operations took how long, on which device."""

import contextlib
import re
from collections.abc import Callable, Iterator

import tensorflow as tf

from training.config import Run, UserError


def steps(text: str | None, last: int) -> tuple[int, int] | None:
    """The first and the last step of text like "100:110", both in [1, last].

    Raises:
        UserError: it is not of that form, or there are no such steps.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None:
        raise UserError(f"--profile is {text}; give FIRST:LAST, two steps such as 100:110.")
    first, end = int(match[1]), int(match[2])
    if not 1 <= first <= end <= last:
        raise UserError(
            f"--profile is {text}; the first step must be at least 1, the last no earlier, and "
            f"this run ends at step {last:,}."
        )
    return first, end


class Profile:
    """Profiles the calls of the graph that hold the steps from the first to the last.

    Steps of one call cannot be told apart from outside, so the profile begins and ends with whole
    calls, of `log_every` steps each.

    Args:
        run: Says which steps, if any; the profile goes into its TensorBoard folder.
        say: Tells the user where it is and how to look at it.
        wanted: Whether this process is the one to profile.
    """

    def __init__(self, run: Run, *, say: Callable[[str], None], wanted: bool) -> None:
        self.first, self.last = (run.profile if wanted else None) or (0, -1)
        self.folder, self.say = run.run_dir / "tensorboard", say
        self.on = False

    @contextlib.contextmanager
    def around(self, first: int, last: int) -> Iterator[None]:
        """Around the call that takes steps `first` to `last`."""
        if not self.on and first <= self.last and last >= self.first:
            tf.profiler.experimental.start(str(self.folder))
            self.on = True
        yield
        if self.on and last >= self.last:
            self.close()

    def close(self) -> None:
        """Writes what was seen, also when the run stops before the last step."""
        if self.on:
            tf.profiler.experimental.stop()
            self.on = False
            self.say(f"A profile is in {self.folder}; `uvx xprof --logdir={self.folder}` shows it.")
