"""Data that an agent makes by acting: a replay that grows while the network learns from it.

A round acts, then draws the batches of its updates, all at once. Everything that is random in it,
what is done by chance and what is drawn, comes from the run's seed and the round's number. Where
steps are drawn by priority, a round draws by those that it began with, and what its updates find
counts from the next round on.
"""

import collections
import dataclasses
import queue
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from training.acting import Acting
from training.data import gymnasium, order
from training.data.replay import Drawn, Replay
from training.data.table import Table, seed_of, states
from training.policy import Policy

HELD_OUT = 1024  # steps by random actions, on which the worths are followed (Mnih et al. 2013, 5.1)
RECENT = 100  # games in the logged return
POLL_SECONDS = 0.2  # between looks whether the run has ended, where batches are fetched ahead


@dataclasses.dataclass(eq=False)
class Acted:
    """What an agent does and learns from: `training.living.Living`.

    Before it follows a model, and for "eval", its batches are steps of a player who acts by chance.
    A worker of several plays by itself, as the others do, and takes its own rows.
    """

    acting: Acting
    taken: int = 0

    def follow(
        self,
        model: Any,
        *,
        seed: int,
        batch_size: int,
        errors: Callable[[], list[np.ndarray]] | None = None,
    ) -> None:
        acting = self.acting
        game = gymnasium.make(acting.environment, acting.environments)
        self.seed, self.batch_size, self.taken, self.closed = seed, batch_size, 0, False
        self.table, self.policy = Table(game, seed), Policy(model)
        self.replay = _replay(game, acting.capacity, alpha=acting.priority)
        self.errors = errors or (lambda: [])
        self.found = np.zeros((0, 2))  # place and difference of what the round's updates learnt
        self.recent: collections.deque[float] = collections.deque(maxlen=RECENT)
        self.rounds: queue.SimpleQueue[dict[str, np.ndarray]] = queue.SimpleQueue()
        self.drawn = 0  # updates for which batches have been handed over
        everyone = np.arange(game.count)
        self.replay.begin(everyone, self.table.begin(everyone))

    def ready(self, step: int, most: int) -> int:
        number, done = divmod(step, self.acting.updates)
        if self.drawn <= step:
            if not done:  # a round that is gone on with has drawn before its updates found anything
                self._take_over()
            chance = np.random.Generator(np.random.Philox(key=[self.seed, number]))
            due = self.acting.start + (number + 1) * self.acting.act_steps - self.taken
            self.play(due, chance)
            draws = np.random.Generator(np.random.Philox(key=[self.seed + 2**32, number]))
            self._draw(number, done, draws)
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

    def _hear(self) -> np.ndarray:
        """What updates have found since the round began: places and differences, float64 [n, 2]."""
        self.found = np.concatenate([self.found, *self.errors()])
        return self.found

    def _take_over(self) -> None:
        if len(found := self._hear()):
            self.replay.learnt(found[:, 0].astype(np.int64), found[:, 1])
            self.found = found[:0]

    def _draw(self, number: int, done: int, rng: np.random.Generator) -> None:
        """Puts the batches of a round into the queue, those of its first `done` updates not."""
        first, count = done * self.batch_size, self.acting.updates * self.batch_size
        drawn = self.replay.draw(count, rng, rows=self.batch_size)
        steps = self.replay.steps(drawn.after(first))
        if drawn.chances is not None:
            steps |= self._weighed(drawn, number * self.acting.updates, first)
        self.rounds.put({k: v.reshape(-1, self.batch_size, *v.shape[1:]) for k, v in steps.items()})

    def _weighed(self, drawn: Drawn, update: int, first: int) -> dict[str, np.ndarray]:
        """Importance weights, the largest of an update 1 (Schaul et al. 2016, section 3.4)."""
        assert drawn.chances is not None
        betas = [self.acting.importance_at(update + i) for i in range(self.acting.updates)]
        weights = drawn.chances.reshape(-1, self.batch_size) ** -np.array(betas)[:, None]
        weights /= weights.max(axis=1, keepdims=True)
        places = drawn.copies * self.replay.size + drawn.entries % self.replay.size
        return {"importance": weights.astype(np.float32).ravel()[first:], "place": places[first:]}

    def batches(self, split: str, batch_size: int, *, seed: int, start: int = 0) -> tf.data.Dataset:
        """Batches without end.

        Returns:
            Dicts of `state` and `next_state` [batch_size, ...], `action` int32 [batch_size],
            `reward` float32 [batch_size] and `done` bool [batch_size]; where steps are drawn by
            priority, those to train on also have `importance` float32 [batch_size] and `place`
            int64 [batch_size] in the replay.

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

        steps_on = tf.data.Dataset.range(start, order.last(batch_size))
        return steps_on.map(batch).with_options(order.options())

    def _fetched(self) -> tf.data.Dataset:
        """The batches that rounds put into the queue, none before it is asked for."""
        state = (None, self.batch_size, *states(self.table.frames).shape[1:])
        kind = self.table.game.kind
        one = (None, self.batch_size)
        kinds = {"action": tf.int32, "reward": tf.float32, "done": tf.bool}
        spec = {name: tf.TensorSpec(one, k) for name, k in kinds.items()}
        spec |= {name: tf.TensorSpec(state, kind) for name in ("state", "next_state")}
        if self.acting.priority:
            spec["importance"] = tf.TensorSpec(one, tf.float32)
            spec["place"] = tf.TensorSpec(one, tf.int64)
        options = order.options()
        options.experimental_optimization.inject_prefetch = False
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
        if self.acting.priority:
            found["found"] = self._hear()
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
        self.found = state.get("found", self.found)

    def close(self) -> None:
        """Lets go of whoever still waits for a batch."""
        self.closed = True


def _replay(game: gymnasium.Game, capacity: int, *, alpha: float = 0.0) -> Replay:
    return Replay(
        game.count,
        capacity,
        stack=game.stack,
        frame=game.frame,
        kind=game.kind,
        alpha=alpha,
    )


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
    return player.replay.steps(player.replay.draw(HELD_OUT, rng))
