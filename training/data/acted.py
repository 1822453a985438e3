"""Data that an agent makes by acting: a replay that grows while the network learns from it.

A round acts, then draws the batches of its updates, all at once. Everything that is random in it,
what is done by chance and what is drawn, comes from the run's seed and the round's number.
"""

import collections
import dataclasses
import queue
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from training.acting import Acting
from training.data import gymnasium, order
from training.data.replay import Replay
from training.policy import Policy

HELD_OUT = 1024  # steps by random actions, on which the worths are followed (Mnih et al. 2013, 5.1)
RECENT = 100  # games in the logged return
POLL_SECONDS = 0.2  # between looks whether the run has ended, where batches are fetched ahead


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


@dataclasses.dataclass(eq=False)
class Acted:
    """What an agent does and learns from: `training.living.Living`.

    Before it follows a model, and for "eval", its batches are steps of a player who acts by chance.
    A worker of several plays by itself, as the others do, and takes its own rows.
    """

    acting: Acting
    taken: int = 0

    def follow(self, model: Any, *, seed: int, batch_size: int) -> None:
        acting = self.acting
        game = gymnasium.make(acting.environment, acting.environments)
        self.seed, self.batch_size, self.taken, self.closed = seed, batch_size, 0, False
        self.table, self.policy = Table(game, seed), Policy(model)
        self.replay = _replay(game, acting.capacity)
        self.recent: collections.deque[float] = collections.deque(maxlen=RECENT)
        self.rounds: queue.SimpleQueue[dict[str, np.ndarray]] = queue.SimpleQueue()
        self.drawn = 0  # updates for which batches have been handed over
        everyone = np.arange(game.count)
        self.replay.begin(everyone, self.table.begin(everyone))

    def ready(self, step: int, most: int) -> int:
        number, done = divmod(step, self.acting.updates)
        if self.drawn <= step:
            chance = np.random.Generator(np.random.Philox(key=[self.seed, number]))
            due = self.acting.start + (number + 1) * self.acting.act_steps - self.taken
            self.play(due, chance)
            draws = np.random.Generator(np.random.Philox(key=[self.seed + 2**32, number]))
            self._draw(done, draws)
            self.drawn = (number + 1) * self.acting.updates
        return min(most, self.acting.updates - done)

    def play(self, steps: int, chance: np.random.Generator) -> None:
        """So many agent steps, in all copies together."""
        table = self.table
        turns = steps // table.game.count
        if not turns:
            return
        self.policy.refresh()
        chances = chance.random((turns, table.game.count))
        others = chance.integers(0, self.policy.actions, chances.shape, np.int32)
        for i in range(turns):
            first = self.taken < self.acting.start
            epsilon = 1.0 if first else self.acting.epsilon_at(self.taken)
            seen = states(table.frames)
            actions = self.policy.act(seen, chances[i], others[i], epsilon)
            moment, lost = table.step(actions)
            self.keep(actions, moment, lost)
            self.taken += table.game.count

    def keep(self, actions: np.ndarray, moment: gymnasium.Moment, lost: np.ndarray) -> None:
        """Takes a step into the replay, and begins new games where one is over.

        A lost life ends what can be earned, though the game goes on (Methods, "Training details").
        """
        rewards = np.sign(moment.rewards) if self.acting.clip_rewards else moment.rewards
        self.replay.add(actions, rewards, moment.terminated | lost, moment.frames)
        over = np.flatnonzero(moment.terminated | moment.truncated)
        if len(over):
            self.recent.extend(self.table.scores[over].tolist())
            self.replay.begin(over, self.table.begin(over))

    def _draw(self, done: int, rng: np.random.Generator) -> None:
        """Puts the batches of a round into the queue, those of its first `done` updates not."""
        count = self.acting.updates * self.batch_size
        drawn = self.replay.draw(count, rng)
        steps = self.replay.steps(*(part[done * self.batch_size :] for part in drawn))
        self.rounds.put({k: v.reshape(-1, self.batch_size, *v.shape[1:]) for k, v in steps.items()})

    def batches(self, split: str, batch_size: int, *, seed: int, start: int = 0) -> tf.data.Dataset:
        """Batches without end.

        Returns:
            Dicts of `state` and `next_state` [batch_size, ...], `action` int32 [batch_size],
            `reward` float32 [batch_size] and `done` bool [batch_size].

        Raises:
            ValueError: no such split, no examples in a batch, or a negative start.
        """
        seeds = order.seeds(split, seed)
        order.check(batch_size, start)
        if split == "train" and hasattr(self, "replay"):
            return self._fetched()
        steps = by_chance(self.acting, seed=seed_of(*seeds))
        kept = {name: tf.constant(value) for name, value in steps.items()}

        @tf.autograph.experimental.do_not_convert
        def batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = (step * batch_size + tf.range(batch_size, dtype=tf.int64)) % HELD_OUT
            return {name: tf.gather(value, rows) for name, value in kept.items()}

        return tf.data.Dataset.range(start, order.last(batch_size)).map(batch)

    def _fetched(self) -> tf.data.Dataset:
        """The batches that rounds put into the queue, none before it is asked for."""
        state = (None, self.batch_size, *states(self.table.frames).shape[1:])
        kind = self.table.game.kind
        one = (None, self.batch_size)
        kinds = {"action": tf.int32, "reward": tf.float32, "done": tf.bool}
        spec = {name: tf.TensorSpec(one, k) for name, k in kinds.items()}
        spec |= {name: tf.TensorSpec(state, kind) for name in ("state", "next_state")}
        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False
        options.autotune.enabled = False
        drawn = tf.data.Dataset.from_generator(self._wait, output_signature=spec)
        return drawn.unbatch().with_options(options)

    def _wait(self) -> Iterator[dict[str, np.ndarray]]:
        while not self.closed:
            try:
                yield self.rounds.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue

    def facts(self) -> dict[str, float]:
        told = {"agent_steps": float(self.taken), "epsilon": self.acting.epsilon_at(self.taken)}
        if self.recent:
            told["train_return"] = float(np.mean(self.recent))
        return told

    def snapshot(self) -> dict[str, np.ndarray]:
        parts = {"replay": self.replay.state, "table": self.table.state}
        found = {f"{part}/{name}": v for part, vs in parts.items() for name, v in vs.items()}
        return {**found, "taken": np.array([self.taken]), "recent": np.array([*self.recent])}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        missing = self.snapshot().keys() - state.keys()
        if missing:
            raise ValueError(f"it lacks {min(missing)}")

        def part(name: str) -> dict[str, np.ndarray]:
            return {k.partition("/")[2]: v for k, v in state.items() if k.startswith(f"{name}/")}

        self.replay.restore(part("replay"))
        self.table.restore(**part("table"))
        self.taken, self.drawn = int(state["taken"][0]), 0
        self.recent.extend(state["recent"].tolist())

    def close(self) -> None:
        """Lets go of whoever still waits for a batch."""
        self.closed = True


def _replay(game: gymnasium.Game, capacity: int) -> Replay:
    return Replay(game.count, capacity, stack=game.stack, frame=game.frame, kind=game.kind)


def by_chance(acting: Acting, *, seed: int) -> dict[str, np.ndarray]:
    """HELD_OUT steps of a player who acts by chance, as a batch."""
    copies = 8
    quiet = dataclasses.replace(
        acting,
        environments=copies,
        act_steps=copies,
        start=2 * HELD_OUT,
        capacity=16 * HELD_OUT,
    )
    player = Acted(quiet)
    game = gymnasium.make(acting.environment, copies)
    player.table, player.replay = Table(game, seed), _replay(game, quiet.capacity)
    player.recent = collections.deque(maxlen=RECENT)
    everyone = np.arange(copies)
    player.replay.begin(everyone, player.table.begin(everyone))
    rng = np.random.default_rng(seed)
    for _ in range(2 * HELD_OUT // copies):
        actions = rng.integers(0, len(game.actions), copies, np.int32)
        player.keep(actions, *player.table.step(actions))
    return player.replay.steps(*player.replay.draw(HELD_OUT, rng))
