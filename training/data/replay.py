"""What was played, each frame once: states are put together from frames when they are learnt from.

A million frames of 84 x 84 are 7.06 GB; as stacks of four, each state and its successor, they would
be eight times as much.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from training.data.sum_tree import SumTree

LEAST = 1e-6  # added to every difference, so that no step is never drawn again


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Steps that were drawn.

    Attributes:
        copies: In which copy of the game each was made, int64 [n].
        entries: Number of its entry there, int64 [n].
        chances: How likely it was, float64 [n], over how likely each would be if all were alike;
            None where they were.
    """

    copies: np.ndarray
    entries: np.ndarray
    chances: np.ndarray | None = None

    def after(self, count: int) -> "Drawn":
        """All but the first so many."""
        chances = None if self.chances is None else self.chances[count:]
        return Drawn(self.copies[count:], self.entries[count:], chances)


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
        alpha: How much more often steps of large temporal differences are drawn: of difference d
            by |d| ** alpha (Schaul et al. 2016, equation 1); 0 draws all alike.
    """

    def __init__(
        self,
        copies: int,
        capacity: int,
        *,
        stack: int,
        frame: tuple[int, ...],
        kind: type,
        alpha: float = 0.0,
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
        self.alpha = alpha
        self.tree = SumTree(copies * self.size) if alpha else None
        self.highest = np.ones(1)  # weight of a step that was not learnt from yet: the largest ever

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
        if self.tree is not None:
            self.tree.set(places * self.size + at[1], self.highest[0])

    def _write(self, places: np.ndarray, frames: np.ndarray) -> None:
        at = places, self.written[places] % self.size
        self.frames[at], self.begins[at] = frames, False
        self.written[places] += 1
        if self.tree is not None:  # the oldest entry that had all frames of its state has lost one
            lost = (self.written[places] + self.stack - 2) % self.size
            self.tree.set(places * self.size + lost, 0.0)

    def draw(self, count: int, rng: np.random.Generator, *, rows: int = 1) -> Drawn:
        """So many steps, each as likely as any other, or by their priorities.

        Args:
            rows: Steps of an update; by priority each is drawn from its own share of the sum
                (Schaul et al. 2016, appendix B.2.1).
        """
        if self.tree is None:
            return self._alike(count, rng)
        shares = (np.arange(count) % rows + rng.random(count)) / rows
        places = self.tree.find(shares * self.tree.total)
        copies, at = np.divmod(places, self.size)
        newest = self.written[copies] - 1
        chances = self.tree.leaves[places] / self.tree.total * np.count_nonzero(self.tree.leaves)
        return Drawn(copies, newest - (newest - at) % self.size, chances)

    def _alike(self, count: int, rng: np.random.Generator) -> Drawn:
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
        return Drawn(copies, entries)

    def learnt(self, places: np.ndarray, errors: np.ndarray) -> None:
        """What an update found: the temporal differences of steps, by their `place` in a batch."""
        assert self.tree is not None
        weights = (np.abs(errors.astype(np.float64)) + LEAST) ** self.alpha
        self.tree.set(places, weights)
        self.highest[0] = max(self.highest[0], weights.max())

    def steps(self, drawn: Drawn) -> dict[str, np.ndarray]:
        """Those steps as a batch: see `training.agents.experience`."""
        copies, entries = drawn.copies, drawn.entries
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
        kept = {**{n: getattr(self, n)[:, :filled] for n in names}, "written": self.written}
        if self.tree is None:
            return kept
        return {**kept, "weights": self.weights[:, :filled], "highest": self.highest}

    @property
    def weights(self) -> np.ndarray:
        """Of every entry, by which it is drawn; 0 where no whole step begins: [copies, size]."""
        assert self.tree is not None
        return self.tree.leaves.reshape(len(self.written), self.size)

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Sets everything to what `state` once was.

        Raises:
            ValueError: it is that of another replay.
        """
        for name, value in state.items():
            mine = getattr(self, name)
            whole = name in ("written", "highest")
            if not whole and (value.shape[1] > self.size or value.shape[2:] != mine.shape[2:]):
                raise ValueError(f"its {name} are {value.shape}, and {mine.shape} is the room here")
        for name, value in state.items():
            mine = getattr(self, name)
            whole = name in ("written", "highest")
            (mine if whole else mine[:, : value.shape[1]])[...] = value
        if self.tree is not None:
            self.tree.changed.append(np.arange(self.tree.leaves.size))
