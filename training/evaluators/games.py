"""Whole games, played as a trained network plays: what they bring, and one of them to look at."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from training.acting import Acting
from training.data import gymnasium
from training.data.table import Table, seed_of, states
from training.films import Film
from training.loop import Evaluator
from training.policy import Policy

COPIES = 16  # played at once
SALT = 0x67616D65  # games that no training begins with
FILMED = 2  # the seed of a game to look at


@dataclasses.dataclass(frozen=True)
class Played:
    """Some whole games.

    Attributes:
        returns: What each brought, unclipped, all lives used up.
        lengths: Its agent steps.
    """

    returns: np.ndarray
    lengths: np.ndarray


def make(model: Any, acting: Acting) -> Evaluator:
    """A function that gives the mean return of `eval_episodes` games, the same ones each time.

    `cost` is minus the return, for what is watched is the lower the better.
    """

    def look() -> dict[str, Any]:
        policy = Policy(model)
        policy.refresh()
        played = play(policy, acting, episodes=acting.eval_episodes, epsilon=acting.eval_epsilon)
        mean = float(played.returns.mean())
        return {
            "return": mean,
            "cost": -mean,
            "return_deviation": float(played.returns.std()),
            "steps_of_a_game": float(played.lengths.mean()),
        }

    return look


def play(policy: Policy, acting: Acting, *, episodes: int, epsilon: float, seed: int = 0) -> Played:
    """Plays games to their ends; which ones, and what is done by chance, is decided by the seed.

    An Atari game is cut off after 18,000 frames (Methods, "Evaluation procedure").
    """
    count = min(COPIES, episodes)
    game = gymnasium.make(acting.environment, count, frames=gymnasium.EVAL_FRAMES)
    table = Table(game, seed_of(SALT, seed))
    places = np.arange(count)
    table.begin(places)
    number, begun = places.copy(), count  # which game each copy plays
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    rng = np.random.default_rng([SALT, seed])
    left = episodes
    while left:
        chances, others = rng.random(count), rng.integers(0, policy.actions, count, np.int32)
        actions = policy.act(states(table.frames), chances, others, epsilon)
        moment, _ = table.step(actions)
        over = np.flatnonzero(moment.terminated | moment.truncated)
        for place in over:
            if number[place] < episodes:
                returns[number[place]] = table.scores[place]
                lengths[number[place]] = len(table.moves[place])
                left -= 1
            number[place], begun = begun, begun + 1
        if len(over):
            table.begin(over)
    return Played(returns, lengths)


def film(policy: Policy, acting: Acting, stem: pathlib.Path, *, epsilon: float) -> float:
    """Plays one whole game and writes it to STEM.mp4 and STEM.gif; gives what it brought."""
    name = acting.environment
    game = gymnasium.make(name, 1, frames=gymnasium.EVAL_FRAMES, seen=True)
    table = Table(game, seed_of(SALT, FILMED))
    rng = np.random.default_rng([SALT, FILMED])
    table.begin(np.zeros(1, np.int64))
    with Film(stem, rate=game.rate) as pictures:
        over = False
        while not over:
            pictures.add(game.picture())
            others = rng.integers(0, policy.actions, 1, np.int32)
            actions = policy.act(states(table.frames), rng.random(1), others, epsilon)
            moment, _ = table.step(actions)
            over = bool(moment.terminated[0] or moment.truncated[0])
        pictures.add(game.picture())
    return float(table.scores[0])
