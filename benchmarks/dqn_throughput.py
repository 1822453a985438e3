"""How many agent steps a second does a whole Q-learning loop take, ours and stable-baselines3's?

    python -m benchmarks.dqn_throughput --rounds=5

All of it counts: acting, storing, drawing, learning. Both play eight copies of the same environment
with the same network, batch, optimizer and share of updates: CartPole in rounds of 256 steps and
128 updates of 64, and Breakout, by ale-py's vector of emulators for both, in rounds of 32 steps and
8 updates of 32. One action in twenty is by chance. PyTorch gets all threads or one, and the faster
counts. Ours is the loop of a run without its
evaluations, checkpoints and log; theirs is `DQN.learn` on PyTorch.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import tyro

from benchmarks import peers, record

OURS, THEIRS = "ours", "stable-baselines3"
EPSILON, COPIES, START, FOREVER = 0.05, 8, 1024, 10**9


@dataclasses.dataclass(frozen=True)
class Case:
    """What is played and learnt; PyTorch's process is told all of it, for it loads no TensorFlow.

    Attributes:
        title: For the tables.
        preset: Our network.
        hidden: Units of each hidden layer of theirs after its convolutions.
        parameters: Of both networks.
        act_steps: Agent steps in a round.
        updates: Updates in a round.
        batch: Steps that an update learns from.
        rate: Adam's.
        target_every: Updates between copies to the target.
        capacity: Steps that the replay holds.
        rounds: In a turn.
    """

    title: str
    preset: str
    hidden: tuple[int, ...]
    parameters: int
    act_steps: int
    updates: int
    batch: int
    rate: float
    target_every: int
    capacity: int
    rounds: int


CASES = {
    "cartpole": Case(
        title="CartPole, 256-256, batch 64",
        preset="mlp",
        hidden=(256, 256),
        parameters=67_586,
        act_steps=256,
        updates=128,
        batch=64,
        rate=2.3e-3,
        target_every=64,
        capacity=50_000,
        rounds=16,
    ),
    "breakout": Case(
        title="Breakout, Nature network, batch 32",
        preset="nature",
        hidden=(),
        parameters=1_686_180,
        act_steps=32,
        updates=8,
        batch=32,
        rate=1e-4,
        target_every=500,
        capacity=20_000,
        rounds=16,
    ),
}


def recipe_of(case: Case) -> tuple[Any, Any]:
    """The paper's config, and a recipe as the case has it."""
    from kmodels import dqn
    from training.optimization import Adam, Constant
    from training.recipes import dqn as recipes

    config = dqn.PRESETS[case.preset]
    recipe = recipes.cpu(config)
    assert recipe.acting is not None
    acting = dataclasses.replace(
        recipe.acting,
        environments=COPIES,
        act_steps=case.act_steps,
        updates=case.updates,
        start=START,
        capacity=case.capacity,
        epsilon=EPSILON,
        final_epsilon=EPSILON,
        target_every=case.target_every,
    )
    return config, dataclasses.replace(
        recipe,
        acting=acting,
        batch_size=case.batch,
        optimizer=Adam(learning_rate=case.rate),
        schedule=Constant(),
    )


def ours(case: Case) -> tuple[peers.Job, str]:
    """Rounds as `training.loop` takes them."""
    import tensorflow as tf

    from benchmarks import steps
    from training import agents, living, loop, quiet, step, strategy
    from training.data.acted import Acted

    quiet.import_tensorflow()
    agents.library()
    config, recipe = recipe_of(case)
    chosen = strategy.make("one")
    learner = steps.learner("dqn", config, recipe)
    data = living.begin(Acted(recipe.acting), learner, seed=0, batch_size=recipe.batch_size)
    many = step.repeat(learner.train_step, chosen)
    iterator = strategy.spread(data.batches("train", recipe.batch_size, seed=0), chosen)
    if learner.model.count_params() != case.parameters:
        raise RuntimeError(f"{learner.model.count_params():,} parameters, not {case.parameters:,}.")
    done = 0

    def job(rounds: int) -> None:
        nonlocal done
        count = rounds * recipe.acting.updates
        loop.walk(many, iterator, data, first=done, count=count)
        done += count

    return job, f"Keras 3 and tf-agents on TensorFlow {tf.__version__}"


def theirs(case: Case, *, threads: int | None = None) -> tuple[peers.Job, str]:
    """Rounds of `DQN.learn`; PyTorch has so many threads, or as many as it takes."""
    from training import quiet

    with quiet.absent("tensorflow"):  # what PyTorch loads later does not bear it
        import stable_baselines3
        import torch

    from benchmarks import dqn_emulators

    if threads is not None:
        torch.set_num_threads(threads)
    pixels = not case.hidden
    agent = stable_baselines3.DQN(
        "CnnPolicy" if pixels else "MlpPolicy",
        dqn_emulators.make(COPIES) if pixels else dqn_emulators.poles(COPIES),
        learning_rate=case.rate,
        buffer_size=case.capacity,
        learning_starts=START,
        batch_size=case.batch,
        gamma=0.99,
        train_freq=case.act_steps // COPIES,
        gradient_steps=case.updates,
        target_update_interval=case.target_every * case.act_steps // case.updates,
        exploration_initial_eps=EPSILON,
        exploration_final_eps=EPSILON,
        policy_kwargs={"net_arch": [*case.hidden]},
        device="cpu",
    )
    count = sum(p.numel() for p in agent.q_net.parameters())
    if count != case.parameters:
        raise RuntimeError(f"{count:,} parameters, and ours are {case.parameters:,}.")

    def job(rounds: int) -> None:
        agent.learn(rounds * case.act_steps, log_interval=FOREVER, reset_num_timesteps=False)

    return job, f"{stable_baselines3.__version__} on PyTorch {torch.__version__}"


MAKERS: dict[str, Callable[[Case], tuple[peers.Job, str]]] = {
    OURS: ours,
    f"{THEIRS}:all threads": theirs,
    f"{THEIRS}:one thread": functools.partial(theirs, threads=1),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Times both in turn.

    Attributes:
        rounds: Times that each has its turn.
        cases: What is played; all where empty.
        save: Whether to write docs/results/dqn_throughput.json and .png.
        case: Used by the command itself.
        worker: Used by the command itself.
    """

    rounds: int = 5
    cases: tuple[str, ...] = ()
    save: bool = True
    case: str = ""
    worker: str = ""


def main() -> None:
    """Runs both in turn, prints the tables and records them."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.dqn_throughput")
    if flags.worker:
        case = CASES[flags.case]
        peers.serve(lambda: MAKERS[flags.worker](case), warm=START // case.act_steps + 8)
        return
    figures, ratios, about, others = {}, {}, {}, 0.0
    for name in flags.cases or CASES:
        case = CASES[name]
        found = peers.measured(
            __file__,
            [*MAKERS],
            rounds=flags.rounds,
            units=case.rounds,
            arguments=[f"--case={name}"],
        )
        peers.fastest(found.seconds, found.about)
        rates = {n: [case.act_steps / s for s in row] for n, row in found.seconds.items()}
        peers.show(case.title, rates, unit="steps/s", references=[THEIRS], about=found.about)
        figures[case.title], about[case.title] = rates, found.about
        ratios[case.title] = {THEIRS: peers.ratios(rates, THEIRS)}
        others = max(others, found.busy)
    peers.warn(others)
    if flags.save:
        record.record(
            "dqn_throughput",
            figures,
            unit="agent steps a second",
            title="Q-learning: acting, storing, drawing and learning",
            ratios=ratios,
            about=about,
            others_share_of_cpu=others,
        )


if __name__ == "__main__":
    main()
