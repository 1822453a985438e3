"""Games being played, several copies at once, each decided by seeds and the actions so far."""

import numpy as np

from training.data import gymnasium


def seed_of(*numbers: int) -> int:
    """A number below 2^31 from several."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0] >> 1)


def states(frames: np.ndarray) -> np.ndarray:
    """Frames [N, stack, ...] as states: a stack is their last dimension, one frame is a state."""
    return frames[:, 0] if frames.shape[1] == 1 else np.moveaxis(frames, 1, -1)


class Table:
    """Copies of a game being played: what each shows, and how it came there.

    Args:
        seed: Decides the games, with the copy's number and the game's.
    """

    def __init__(self, game: gymnasium.Game, seed: int) -> None:
        self.game, self.seed = game, seed
        self.begun = np.zeros(game.count, np.int64)
        self.moves: list[list[int]] = [[] for _ in range(game.count)]
        self.scores = np.zeros(game.count)
        self.lives = np.zeros(game.count, np.int32)
        self.frames: np.ndarray = np.zeros((game.count, game.stack, *game.frame), game.kind)

    def begin(self, places: np.ndarray) -> np.ndarray:
        """New games in those copies; gives their first frames."""
        self.begun[places] += 1
        return self._open(places)

    def _open(self, places: np.ndarray) -> np.ndarray:
        seeds = [seed_of(self.seed, int(p), int(self.begun[p])) for p in places]
        self.frames[places] = self.game.begin(places, np.array(seeds))
        self.scores[places] = self.lives[places] = 0
        for place in places:
            self.moves[place] = []
        opened: np.ndarray = self.frames[places]
        return opened

    def step(self, actions: np.ndarray) -> tuple[gymnasium.Moment, np.ndarray]:
        """An action in each; the second value says where a life was lost."""
        moment = self.game.step(actions)
        lost = moment.lives < self.lives
        self.frames = np.concatenate([self.frames[:, 1:], moment.frames[:, None]], axis=1)
        self.scores += moment.rewards
        self.lives = moment.lives
        for moves, action in zip(self.moves, actions.tolist(), strict=True):
            moves.append(action)
        return moment, lost

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Which games, and the actions so far."""
        lengths = np.array([len(moves) for moves in self.moves])
        padded = np.zeros((len(lengths), lengths.max()), np.int32)
        for row, moves in zip(padded, self.moves, strict=True):
            row[: len(moves)] = moves
        return {"begun": self.begun, "lengths": lengths, "moves": padded}

    def restore(self, begun: np.ndarray, lengths: np.ndarray, moves: np.ndarray) -> None:
        """Plays the games again, as they were played; the longest begins, all end together."""
        self.begun[...] = begun
        everyone, longest = np.arange(len(begun)), int(lengths.max())
        self._open(everyone)
        for at in range(longest + 1):
            waits = lengths < longest - at
            now = np.flatnonzero(lengths == longest - at)
            if at and len(now):
                self._open(now)
            if at == longest:
                return
            place = np.maximum(at - (longest - lengths), 0)
            actions = np.where(waits, 0, moves[everyone, np.minimum(place, lengths.max() - 1)])
            moment, _ = self.step(actions.astype(np.int32))
            over = np.flatnonzero(waits & (moment.terminated | moment.truncated))
            if len(over):
                self._open(over)
