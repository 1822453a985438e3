"""A game as tf-agents' own drivers, policies and replay buffers play it: a batched PyEnvironment.

Training does not go through it (decision 0037); what it shows is what training learns from.
"""

import functools
from typing import Any

import numpy as np

from training import agents
from training.acting import Acting
from training.data import gymnasium
from training.data.table import Table, states


def make(acting: Acting, *, seed: int) -> Any:
    """tf-agents' environment of the copies that a run plays, its rewards and ends included.

    A copy whose game is over begins the next one in the step after, whatever its action. A lost
    life has the discount 0, though the game goes on; a game that was cut off has 1 at its end.

    Args:
        seed: Decides the games.

    Raises:
        ValueError: there is no such environment, or it has no choice of a few actions.
        UserError: tf-agents is not installed.
    """
    game = gymnasium.make(acting.environment, acting.environments)
    return _environment_class()(Table(game, seed), acting.clip_rewards)


@functools.cache
def _environment_class() -> Any:
    """Made late, for tf-agents is loaded where it is needed (`training.agents`)."""
    tfa = agents.library()
    kinds = tfa.time_step.StepType

    class Environment(agents.library().py_environment.PyEnvironment):  # type: ignore[misc]
        def __init__(self, table: Table, clip_rewards: bool) -> None:
            super().__init__()
            self.table, self.clip_rewards = table, clip_rewards
            self.over = np.zeros(table.game.count, bool)

        @property
        def batched(self) -> bool:
            return True

        @property
        def batch_size(self) -> int:
            return self.table.game.count

        def action_spec(self) -> Any:
            most = len(self.table.game.actions) - 1
            return tfa.array_spec.BoundedArraySpec((), np.int32, 0, most, "action")

        def observation_spec(self) -> Any:
            game = self.table.game
            shape = game.frame if game.stack == 1 else (*game.frame, game.stack)
            if game.kind is np.uint8:
                return tfa.array_spec.BoundedArraySpec(shape, np.uint8, 0, 255, "observation")
            return tfa.array_spec.ArraySpec(shape, np.float32, "observation")

        def _reset(self) -> Any:
            count = self.batch_size
            self.table.begin(np.arange(count))
            self.over[:] = False
            return self._shown(np.zeros(count), np.ones(count), np.full(count, kinds.FIRST))

        def _step(self, action: np.ndarray) -> Any:
            fresh = np.flatnonzero(self.over)
            moment, lost = self.table.step(np.asarray(action, np.int32))
            rewards = np.sign(moment.rewards) if self.clip_rewards else moment.rewards
            discounts = np.where(moment.terminated | lost, 0.0, 1.0)
            self.over = moment.terminated | moment.truncated
            steps = np.where(self.over, kinds.LAST, kinds.MID)
            if len(fresh):
                self.table.begin(fresh)
                rewards, discounts[fresh], steps[fresh] = rewards.copy(), 1.0, kinds.FIRST
                rewards[fresh], self.over[fresh] = 0.0, False
            return self._shown(rewards, discounts, steps)

        def _shown(self, rewards: np.ndarray, discounts: np.ndarray, steps: np.ndarray) -> Any:
            return tfa.time_step.TimeStep(
                step_type=steps.astype(np.int32),
                reward=rewards.astype(np.float32),
                discount=discounts.astype(np.float32),
                observation=states(self.table.frames).copy(),
            )

    return Environment
