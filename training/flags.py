"""The command line of `training.run`: flags to a preset, a config, a recipe and their overrides."""

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import tyro

from kmodels.core import zoo
from training import recipes
from training.config import (
    AdamW,
    Precision,
    Recipe,
    Schedule,
    StrategyName,
    Switch,
    TextCodecChoice,
    UserError,
)

C = TypeVar("C")
Bare = tyro.conf.FlagCreatePairsOff[bool]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(Generic[C]):
    """Trains a paper's model, exports it, and says how to serve it. The same command resumes.

    Attributes:
        model: The paper; `--list` names them all.
        preset: A named config of the paper; `--list` names them.
        data: Where examples come from.
        data_dir: A file or folder to read them from.
        steps: Steps in the run.
        batch_size: Examples in one step, over all replicas.
        seed: Of the initial weights, the order of the data and dropout.
        strategy: Which devices train.
        replicas: Local replicas; default every GPU, one on a CPU.
        precision: float32, or bfloat16 computation over float32 weights.
        compile: XLA around the step; auto follows the recipe.
        run_dir: Where the run is written; default runs/MODEL-PRESET-DATA.
        export_dir: Where MODEL/VERSION is published.
        init_from: A run folder whose weights to begin with.
        log_every: Steps in one call of the graph, and in one logged mean.
        eval_every: Steps between evaluations.
        save_every: Steps between checkpoints.
        eval_batches: Batches in one evaluation.
        micro_batches: Parts a replica's batch is cut into, to save memory.
        list: Names the papers and presets, then stops.
        describe: Prints the resolved run and the number of parameters, then stops.
        dry_run: One step, one evaluation, one export to a temporary folder, then stops.
    """

    model: str
    preset: str
    data: str
    data_dir: pathlib.Path | None = None
    steps: int
    batch_size: int
    seed: int = 0
    strategy: StrategyName = "auto"
    replicas: int | None = None
    precision: Precision = "float32"
    compile: Switch = "auto"
    run_dir: pathlib.Path | None = None
    export_dir: pathlib.Path = pathlib.Path("exports")
    init_from: str | None = None
    log_every: int
    eval_every: int
    save_every: int
    eval_batches: int
    micro_batches: int = 1
    list: Annotated[Bare, tyro.conf.arg(name="list")] = False
    describe: Bare = False
    dry_run: Bare = False
    config: C
    codec: TextCodecChoice
    optimizer: AdamW
    schedule: Schedule

    def recipe(self, base: Recipe) -> Recipe:
        """The recipe with what was given on the command line."""
        names = {f.name for f in dataclasses.fields(Recipe)}
        given = {f.name for f in dataclasses.fields(self)}
        return dataclasses.replace(base, **{n: getattr(self, n) for n in names & given})


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ConfigOnly(Generic[C]):
    config: C


def parse(argv: Sequence[str]) -> tuple[Flags[Any], Recipe]:
    """Flags and the recipe they override.

    Raises:
        UserError: an unknown model or preset, values that contradict each other.
        SystemExit: tyro's help (0) or its message about a flag (2).
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--model")
    first.add_argument("--preset")
    known, _ = first.parse_known_args(argv)
    if known.model is None:
        wanted = "" if set(argv) & {"--help", "-h"} else "No --model was given. "
        raise UserError(
            f"{wanted}Give --model=NAME, one of: {', '.join(zoo.names())}; "
            "--model=NAME --help explains its flags, --list its presets."
        )
    try:
        paper = zoo.load(known.model)
    except ValueError as error:
        raise UserError(str(error)) from None
    module = recipes.load(known.model)
    preset = known.preset or module.PRESET
    if preset not in paper.PRESETS:
        raise UserError(zoo.unknown(f"preset of {known.model}", preset, list(paper.PRESETS)))
    default = paper.PRESETS[preset]
    kind = type(default)
    config = default
    if any(a.replace("-", "_").startswith("__config.") for a in argv):
        only, _ = tyro.cli(
            _ConfigOnly[kind],  # type: ignore[valid-type]
            args=[a for a in argv if a not in ("--help", "-h")],
            default=_ConfigOnly(config=default),
            return_unknown_args=True,
            add_help=False,
        )
        config = only.config
    base = module.recipe(config)
    shared = {f.name for f in dataclasses.fields(Flags)} & {
        f.name for f in dataclasses.fields(Recipe)
    }
    flags: Flags[Any] = Flags(
        model=known.model,
        preset=preset,
        config=config,
        **{name: getattr(base, name) for name in shared if name != "config"},
    )
    flags = tyro.cli(
        Flags[kind],  # type: ignore[valid-type]
        prog="python -m training.run",
        args=list(argv),
        default=flags,
    )
    return flags, flags.recipe(base)


def listing() -> str:
    """The papers and their presets, a line each."""
    lines = []
    for name in zoo.names():
        paper = zoo.load(name)
        lines.append(f"{name}  {paper.PAPER.title} ({paper.PAPER.year})")
        lines.append(f"    {', '.join(paper.PRESETS)}")
    return "\n".join(lines)


def program() -> str:
    """How to run Python the way this process was run, for commands to paste."""
    import os
    import shutil

    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        return "uv run python"
    for name in ("python", "python3"):
        if shutil.which(name) == sys.executable:
            return name
    return sys.executable
