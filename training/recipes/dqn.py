"""How deep Q-networks learn: by playing, from a replay, against an older copy of themselves."""

import dataclasses
import hashlib
import json
import pathlib
import shlex
from collections.abc import Sequence
from typing import Any

import keras

from kmodels import dqn
from kmodels.core import zoo
from kmodels.core.codecs.features import Features
from training import checkpoints, command, runs
from training.acting import Acting
from training.config import FeatureCodecChoice, Recipe, UserError
from training.data import gymnasium
from training.data.acted import Acted
from training.evaluators import games
from training.loop import Evaluator
from training.optimization import Adam, Constant, Linear, RMSprop
from training.policy import Policy
from training.prepared import Prepared

UNIT = "transitions"
DATA = ("acted",)
PRESET = "mlp"
BREAKOUT, LITTLE, CARTPOLE = "ALE/Breakout-v5", "MinAtar/Breakout-v0", "CartPole-v1"


def paper(config: dqn.Config) -> Recipe:
    """Extended data table 1: 50 million frames of Breakout, centred RMSProp, a replay of a million.

    An agent step is four frames, so 12.5 million steps; an update of 32 follows every fourth. The
    target is copied every 10,000 updates, as the table has it; DeepMind's code copies it every
    10,000 agent steps, a quarter of that. The replay takes 7 GB, and a checkpoint as much.
    MinAtar (Young and Tian 2019, section 3): 5 million frames, each one a step and an update, a
    replay of 100,000, the target copied every 1,000 updates, epsilon falling over 100,000 steps.
    """
    if not config.pixels:
        return dataclasses.replace(cpu(config), origin="paper")
    acting = Acting(environment=BREAKOUT)
    steps = 12_500_000
    if config.observation[0] < 84:
        steps = 5_000_000
        acting = Acting(
            environment=LITTLE,
            act_steps=1,
            start=5000,
            capacity=100_000,
            epsilon_steps=100_000,
            target_every=1000,
        )
    return Recipe(
        data="acted",
        codec=FeatureCodecChoice(),
        learner="q_learning",
        objective="temporal_difference",
        optimizer=RMSprop(),
        schedule=Constant(),
        acting=acting,
        batch_size=32,
        steps=_updates(acting, steps),
        log_every=2500,
        eval_every=62_500,  # a quarter of a million agent steps, an epoch of the paper
        save_every=62_500,
        eval_batches=16,
        watch="cost",
        xla=False,
        origin="paper",
    )


def prioritized(config: dqn.Config) -> Recipe:
    """Schaul et al. 2016, proportional (section 3.3): alpha 0.6, beta from 0.4 to 1 at the end.

    Actions are chosen by the network and valued by the target, as there, and the rate is a quarter
    of the paper's (appendix B.2.3). All else is the paper's, or for numbers the CPU's.
    """
    base = paper(config)
    assert base.acting is not None
    acting = dataclasses.replace(
        base.acting, double=True, priority=0.6, importance=0.4, importance_updates=base.steps
    )
    kind: Any = base.optimizer
    optimizer = dataclasses.replace(kind, learning_rate=kind.learning_rate / 4)
    return dataclasses.replace(base, acting=acting, optimizer=optimizer, origin="own")


def _updates(acting: Acting, steps: int) -> int:
    """In so many agent steps."""
    return (steps - acting.start) // acting.act_steps * acting.updates


def cpu(config: dqn.Config) -> Recipe:
    """CartPole in a minute or two on two cores; of pixels as many steps as an hour or two has."""
    if config.pixels:
        return _pixels(config)
    tiny = dqn.param_count(config) < 1000
    acting = Acting(
        environment=CARTPOLE,
        environments=8,
        act_steps=256,
        updates=128,
        start=1024,
        capacity=100_000,
        final_epsilon=0.04,
        epsilon_steps=8000,
        target_every=64,
        eval_episodes=20,
        eval_epsilon=0.0,
    )
    if tiny:
        acting = dataclasses.replace(
            acting, act_steps=64, updates=20, start=256, eval_episodes=4, target_every=20
        )
    return Recipe(
        data="acted",
        codec=FeatureCodecChoice(),
        learner="q_learning",
        objective="temporal_difference",
        optimizer=Adam(learning_rate=1e-2 if tiny else 2.3e-3),
        schedule=Linear(),  # a network that still moves much at the end forgets again
        acting=acting,
        batch_size=16 if tiny else 64,
        steps=40 if tiny else _updates(acting, 50_000) // 512 * 512,
        log_every=10 if tiny else 512,
        eval_every=20 if tiny else 2048,
        save_every=20 if tiny else 2048,
        eval_batches=4,
        watch="cost",
        xla=False,
        origin="cpu",
    )


def _pixels(config: dqn.Config) -> Recipe:
    """A million steps of MinAtar, or 200,000 of Breakout: enough to see it learn, no more."""
    little = config.observation[0] < 84
    acting = Acting(
        environment=LITTLE if little else BREAKOUT,
        environments=8,
        act_steps=32,
        updates=8,
        start=8000,
        capacity=100_000,
        final_epsilon=0.05,
        epsilon_steps=100_000 if little else 50_000,
        target_every=1000 if little else 500,
    )
    return dataclasses.replace(
        paper(config),
        optimizer=Adam(learning_rate=2.5e-4 if little else 1e-4),
        acting=acting,
        steps=_updates(acting, 1_000_000 if little else 200_000),
        log_every=1000,
        eval_every=10_000,
        save_every=10_000,
        origin="cpu",
    )


def recipe(config: dqn.Config) -> Recipe:
    """A CPU's: the paper's own takes a GPU for days."""
    return cpu(config)


PROFILES = {"paper": paper, "prioritized": prioritized, "cpu": cpu}


def prepare(
    config: dqn.Config,
    recipe: Recipe,
    data_dir: pathlib.Path | None,
    *,
    codec: Features | None = None,
) -> Prepared:
    """The environment that the recipe names, in which nothing has happened yet.

    Raises:
        UserError: there is no such environment, or its states or actions are not the config's.
    """
    if recipe.data not in DATA:
        raise UserError(zoo.unknown("data for this paper", recipe.data, list(DATA)))
    if data_dir is not None:
        raise UserError(
            f"A Q-network learns from what it plays, and --data-dir={data_dir} was given; leave "
            "it out, and name a game by --acting.environment."
        )
    assert recipe.acting is not None  # as the recipe has checked
    name = recipe.acting.environment
    try:
        game = gymnasium.make(name, 1)
    except ValueError as error:
        raise UserError(str(error)) from None
    shape = game.frame if game.stack == 1 else (*game.frame, game.stack)
    for field, there in (("observation", shape), ("actions", len(game.actions))):
        given = getattr(config, field)
        if given != there:
            spelled = " ".join(map(str, there)) if isinstance(there, tuple) else there
            raise UserError(
                f"{name} has {field} {there}, and config.{field} is {given}; give "
                f"--config.{field}={spelled}, or a preset that fits."
            )
    codec = codec or Features(names=(), labels=game.actions)
    digest = hashlib.sha256(f"{name} {shape} {game.actions}".encode()).hexdigest()
    return Prepared(config, codec, Acted(recipe.acting), digest)


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Whole games, as they are played by the best action almost always."""
    data: Any = prepared.data
    return [games.make(model, data.acting)]


def leave(run_dir: pathlib.Path) -> str:
    """A game that the best weights play, as a film and as an animated picture."""
    run = runs.read(run_dir)
    weights = checkpoints.model_weights(runs.tensors(run_dir))
    model = dqn.build(run.config)
    for variable in model.weights:
        variable.assign(weights[variable.path])
    policy = Policy(model)
    policy.refresh()
    acting: Any = run.recipe.acting
    brought = games.film(policy, acting, run_dir / "episode", epsilon=acting.eval_epsilon)
    return f"A game that brought {brought:g}: {run_dir / 'episode.mp4'}"


def ask(codec: Features, config: dqn.Config, published: pathlib.Path) -> str:
    """A pole that stands and one that falls; of pixels how a game begins."""
    if config.pixels:
        card = json.loads((published / "card.json").read_text(encoding="utf-8"))
        name = card["recipe"]["acting"]["environment"]
        state = f"{command.program()} -m training.data.beginning {shlex.quote(name)}"
        return f'"observations=$({state})"'
    rows = [[0.0] * config.observation[0], [0.0, 0.5, 0.1, 1.0] + [0.0] * config.observation[0]]
    cut = [row[: config.observation[0]] for row in rows]
    return "'observations=" + str(cut).replace(" ", "") + "'"
