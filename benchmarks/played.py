"""What benchmarks of games share: runs that go on where they were cut off, and games by them."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import record, runs

NEW = 1  # the games' seed; runs choose by those of 0
Entries = list[dict[str, Any]]


def trained(run_dir: pathlib.Path, *flags: str) -> Entries:
    """The log of a run of the command in this folder: begun, gone on with, or already there."""
    from training import runs as folders

    if (run_dir / "run.json").exists():
        last = folders.read(run_dir).recipe.steps
        entries = folders.entries(run_dir)
        if any(e["split"] == "eval" and e["step"] == last for e in entries):
            return entries
    return runs.kept(run_dir, *flags, "--no-export")


def policy(run_dir: pathlib.Path) -> tuple[Any, Any]:
    """What the run's best checkpoint does, and how the run acted."""
    from kmodels import dqn
    from training import runs as folders
    from training.checkpoints import model_weights
    from training.policy import Policy

    run = folders.read(run_dir)
    weights = model_weights(folders.tensors(run_dir))
    model = dqn.build(run.config)
    for variable in model.weights:
        variable.assign(weights[variable.path])
    made = Policy(model)
    made.refresh()
    assert run.recipe.acting is not None
    return made, run.recipe.acting


def returns(run_dir: pathlib.Path, *, games: int, epsilon: float) -> list[float]:
    """What each of so many new games brings, played by the run's best checkpoint."""
    from training.evaluators import games as whole

    made, acting = policy(run_dir)
    played = whole.play(made, acting, episodes=games, epsilon=epsilon, seed=NEW)
    return [float(value) for value in played.returns]


def curve(entries: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Agent steps -> mean return of an evaluation."""
    taken = {e["step"]: round(e["agent_steps"]) for e in entries if e["split"] == "train"}
    return {taken[e["step"]]: e["return"] for e in entries if e["split"] == "eval"}


def seconds(entries: Sequence[Mapping[str, Any]]) -> float:
    """That a run acted and learnt; evaluations are not in it."""
    return float(sum(e["seconds"] for e in entries if e["split"] == "train"))


def draw(
    file: pathlib.Path, curves: Mapping[str, Mapping[int, float]], lines: Mapping[str, float]
) -> None:
    """Returns over agent steps, and levels to compare them with."""

    def levels(axis: Any) -> None:
        for (name, value), style in zip(lines.items(), ("--", ":"), strict=False):
            axis.axhline(value, color="grey", linestyle=style, linewidth=1, label=name)

    record.curves(file, curves, ylabel="mean return of 30 games", more=levels)
