"""Environments as stable-baselines3 takes them: ale-py's vector of emulators, and CartPole's."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv


class Emulators(VecEnv):
    """Copies of Breakout, set as `training.data.gymnasium` sets them; each begins anew by itself.

    A state is uint8 [4, 84, 84], as PyTorch wants pictures.
    """

    def __init__(self, copies: int) -> None:
        self.games = AtariVectorEnv(
            "breakout",
            copies,
            num_threads=min(copies, 8),
            use_fire_reset=False,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        self.actions: np.ndarray = np.zeros(copies, np.int64)
        super().__init__(
            copies, self.games.single_observation_space, self.games.single_action_space
        )

    def reset(self) -> Any:
        return self.games.reset(seed=0)[0]

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> Any:
        states, rewards, ended, cut, info = self.games.step(self.actions)
        done = ended | cut
        told: list[dict[str, Any]] = [{} for _ in done]
        for place in np.flatnonzero(done):
            told[place] = {
                "terminal_observation": info["final_obs"][place],
                "TimeLimit.truncated": bool(cut[place] and not ended[place]),
            }
        return states, rewards.astype(np.float32), done, told

    def close(self) -> None:
        self.games.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.games, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.games, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **more: Any) -> Any:
        return [getattr(self.games, method_name)(*args, **more)] * self.num_envs

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> Sequence[bool]:
        return [False] * self.num_envs


def make(copies: int) -> VecEnv:
    """So many copies of Breakout."""
    return Emulators(copies)


def poles(copies: int) -> VecEnv:
    """So many copies of CartPole, as its users make them."""
    return make_vec_env("CartPole-v1", n_envs=copies, seed=0)
