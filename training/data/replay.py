"""What was played, each frame once: states are put together from frames when they are learnt from.

A million frames of 84 x 84 are 7.06 GB; as stacks of four, each state and its successor, they would
be eight times as much.
"""

from collections.abc import Mapping

import numpy as np


class Replay:
    """The last frames of some copies of a game, and what was done at them.

    Each copy has a ring. An entry is a frame and, if a step began there, its action, its reward and
    whether it ended what can be earned; the entry after it is where the step led, also at the end
    of a game. The frames before a game's first are entries where no step begins.

    Args:
        copies: N.
        capacity: Frames in all.
        stack: Frames in a state; several are its last dimension, one is the state itself.
        frame: Shape of one.
        kind: Its number format.
    """

    def __init__(
        self, copies: int, capacity: int, *, stack: int, frame: tuple[int, ...], kind: type
    ) -> None:
        self.size, self.stack = capacity // copies, stack
        shape = (copies, self.size)
        self.frames: np.ndarray = np.zeros(
            (*shape, *frame), kind
        )  # memory that is not written is not taken
        self.action = np.zeros(shape, np.int32)
        self.reward = np.zeros(shape, np.float32)
        self.done = np.zeros(shape, bool)
        self.begins = np.zeros(shape, bool)
        self.written = np.zeros(copies, np.int64)  # entries so far, those overwritten too

    def begin(self, places: np.ndarray, frames: np.ndarray) -> None:
        """The first state of a new game in some copies, [n, stack, ...]."""
        for i in range(self.stack):
            self._write(places, frames[:, i])

    def add(
        self, actions: np.ndarray, rewards: np.ndarray, done: np.ndarray, frames: np.ndarray
    ) -> None:
        """A step in every copy, and where it led: all [N] or [N, ...]."""
        places = np.arange(len(self.written))
        at = places, (self.written - 1) % self.size
        self.action[at], self.reward[at], self.done[at] = actions, rewards, done
        self._write(places, frames)
        self.begins[at] = True

    def _write(self, places: np.ndarray, frames: np.ndarray) -> None:
        at = places, self.written[places] % self.size
        self.frames[at], self.begins[at] = frames, False
        self.written[places] += 1

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Copy and entry of so many steps, each step that is kept as likely as any other."""
        first = np.maximum(self.written - self.size, 0) + self.stack - 1
        ends = np.cumsum(np.maximum(self.written - 1 - first, 0))
        found: list[tuple[np.ndarray, np.ndarray]] = []
        missing = count
        while missing > 0:
            drawn = rng.integers(0, ends[-1], missing + missing // 8 + 8)
            copies = np.searchsorted(ends, drawn, side="right")
            entries = drawn - np.concatenate([[0], ends])[copies] + first[copies]
            there = self.begins[copies, entries % self.size]
            found.append((copies[there], entries[there]))
            missing -= int(there.sum())
        copies, entries = (np.concatenate(part)[:count] for part in zip(*found, strict=True))
        return copies, entries

    def steps(self, copies: np.ndarray, entries: np.ndarray) -> dict[str, np.ndarray]:
        """Those steps as a batch: see `training.agents.experience`."""
        at = copies, entries % self.size
        return {
            "state": self.states(copies, entries),
            "action": self.action[at],
            "reward": self.reward[at],
            "next_state": self.states(copies, entries + 1),
            "done": self.done[at],
        }

    def states(self, copies: np.ndarray, entries: np.ndarray) -> np.ndarray:
        """The states that the entries are the newest frames of, [n, ...]."""
        if self.stack == 1:
            found: np.ndarray = self.frames[copies, entries % self.size]
            return found
        before = entries[:, None] + np.arange(1 - self.stack, 1)
        return np.moveaxis(self.frames[copies[:, None], before % self.size], 1, -1)

    @property
    def state(self) -> dict[str, np.ndarray]:
        """What is kept, as views: no more than has been written."""
        filled = int(min(self.written.max(), self.size))
        names = ("frames", "action", "reward", "done", "begins")
        return {**{n: getattr(self, n)[:, :filled] for n in names}, "written": self.written}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Sets everything to what `state` once was.

        Raises:
            ValueError: it is that of another replay.
        """
        for name, value in state.items():
            mine = getattr(self, name)
            if name != "written" and (
                value.shape[1] > self.size or value.shape[2:] != mine.shape[2:]
            ):
                raise ValueError(f"its {name} are {value.shape}, and {mine.shape} is the room here")
        for name, value in state.items():
            mine = getattr(self, name)
            (mine if name == "written" else mine[:, : value.shape[1]])[...] = value
