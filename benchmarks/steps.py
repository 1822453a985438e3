"""What the benchmarks of training steps share: flags, our step as a run makes it, all in turn."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import tyro

from benchmarks import peers, record

POOL = 8  # different batches, taken in turn
REFERENCES = ("torch-compile", "torch-eager", "floor")
Make = Callable[[], tuple[peers.Job, str]]


class Case(Protocol):
    """A network and the batch that it is timed on.

    Attributes:
        title: For the tables.
        steps: Steps in a turn.
    """

    @property
    def title(self) -> str: ...

    @property
    def steps(self) -> int: ...


Kind = TypeVar("Kind", bound=Case)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """What every such command takes.

    Attributes:
        rounds: Times that each peer has its turn.
        cases: Networks; all where empty.
        only: Peers to run, by the beginnings of their names; all where empty.
        save: Whether to write docs/results/NAME.json and .png.
        case: Used by the command itself.
        worker: Used by the command itself.
    """

    rounds: int = 7
    cases: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    save: bool = True
    case: str = ""
    worker: str = ""


def ours(learner: Any, pool: Mapping[str, np.ndarray]) -> peers.Job:
    """A learner's steps as a run makes them, many in a graph.

    Args:
        pool: Batches by name, [n, B, ...] each.
    """
    import tensorflow as tf

    from training import step

    data = tf.data.Dataset.from_tensor_slices(dict(pool)).repeat()
    batches = iter(data.prefetch(2))
    many = step.repeat(learner.train_step, tf.distribute.get_strategy())
    return lambda steps: many(batches, steps)


def learner(model: str, config: Any, recipe: Any) -> Any:
    """The learner that a run of this recipe has, on one device in float32."""
    from training import run, strategy
    from training.config import Run

    if recipe.xla:
        run.share_cores(config, recipe)
    nowhere = pathlib.Path()
    made = Run(
        model=model,
        preset="",
        config=config,
        recipe=recipe,
        compile=recipe.xla,
        run_dir=nowhere,
        export_dir=nowhere,
    )
    return run.learner_of(made, strategy.make("one"))


def measure(
    script: str, name: str, case: Case, names: Sequence[str], *, rounds: int
) -> tuple[dict[str, list[float]], dict[str, str], float]:
    """Milliseconds by peer and round, a line about each, and what others took of the processors."""
    found = peers.measured(
        script, names, rounds=rounds, units=case.steps, arguments=[f"--case={name}"]
    )
    values = {n: [1e3 * s for s in row] for n, row in found.seconds.items()}
    peers.fastest(values, found.about)
    return values, found.about, found.busy


def main(
    script: str, cases: Mapping[str, Kind], makers: Callable[[Kind], dict[str, Make]], title: str
) -> None:
    """Runs all peers in turn, a network after another, prints the tables and records them.

    Args:
        script: The file whose command this is.
        makers: The peers of a case by name; what stands after a colon is a variant, the fastest
            counts.
    """
    name = pathlib.Path(script).stem
    flags = tyro.cli(Flags, prog=f"python -m benchmarks.{name}", description=f"{title}, timed.")
    if flags.worker:
        peers.serve(makers(cases[flags.case])[flags.worker], warm=3)
        return
    figures, ratios, facts, others = {}, {}, {}, 0.0
    for key in flags.cases or cases:
        case = cases[key]
        names = [n for n in makers(case) if not flags.only or n.startswith(flags.only)]
        values, about, busy = measure(script, key, case, names, rounds=flags.rounds)
        references = [n for n in REFERENCES if n in values]
        peers.show(case.title, values, unit="ms", references=references, about=about)
        figures[case.title], facts[case.title], others = values, about, max(others, busy)
        ratios[case.title] = {n: peers.ratios(values, n) for n in references}
    peers.warn(others)
    if flags.save:
        record.record(
            name,
            figures,
            unit="ms",
            title=title,
            ratios=ratios,
            about=facts,
            others_share_of_cpu=others,
        )
