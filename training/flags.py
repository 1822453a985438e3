"""The command line of `training.run`: flags to a preset, a config, a recipe and their overrides."""

import argparse
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Generic, TypeVar

import tyro

from kmodels.core import zoo
from training import cluster, command, recipes
from training.acting import Acting
from training.config import (
    CodecChoice,
    OptimizerChoice,
    Precision,
    Recipe,
    ScheduleChoice,
    StrategyName,
    Switch,
    UserError,
    check,
)
from training.optimization import OPTIMIZERS, SCHEDULES

C = TypeVar("C")
K = TypeVar("K", bound=CodecChoice)
R = TypeVar("R", bound=OptimizerChoice)
S = TypeVar("S", bound=ScheduleChoice)
D = TypeVar("D", bound=OptimizerChoice | None)
A = TypeVar("A", bound=Acting | None)
Bare = tyro.conf.FlagCreatePairsOff[bool]
PUBLISHED = (  # what papers say
    *("optimizer", "schedule", "batch_size", "steps", "average_half_life"),
    *("discriminator_optimizer", "critic_steps", "acting"),
    *("label_smoothing", "mixup", "randaugment", "colour_strength"),
)


def _kinds(part: str, kinds: Iterable[str]) -> Any:
    """For --help: the names that `--part.kind` may have."""
    return tyro.conf.arg(help=f"--{part}.kind=NAME picks another: {', '.join(kinds)}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(Generic[C, K, R, S, D, A]):
    """Trains a paper's model, exports it, and says how to serve it. The same command resumes.

    Attributes:
        model: The paper; `--list` names them all.
        preset: A named config of the paper; `--list` names them.
        recipe: Its profile: paper (the published schedule, for GPUs), cpu (a short one, which is
            not the paper's), for vit also fine-tune; auto takes what suits the preset.
        data: Where examples come from.
        data_dir: A file or folder to read them from.
        steps: Steps in the run.
        batch_size: Examples in one step, over all replicas.
        seed: Of the initial weights, the order of the data and dropout.
        strategy: Which devices train.
        replicas: Local replicas; default every GPU, one on a CPU.
        spawn: Worker processes to start on this machine, as a cluster of their own.
        precision: float32, or bfloat16 or float16 computation over float32 weights; float16 comes
            with dynamic loss scaling.
        compile: XLA around the step; auto follows the recipe.
        run_dir: Where the run is written; default runs/MODEL-PRESET-DATA.
        export_dir: Where MODEL/VERSION is published.
        init_from: Weights to begin with: a run's folder, hf:FOLDER (config.json and
            model.safetensors), a keras-hub preset's folder, a .safetensors or .weights.h5 file, or
            an .h5 file of keras.applications.
        freeze: Trains a classifier's head alone: a linear probe.
        log_every: Steps in one call of the graph, and in one logged mean.
        eval_every: Steps between evaluations.
        save_every: Steps between checkpoints.
        eval_batches: Batches in one evaluation.
        keep: Newest checkpoints that stay, besides the best.
        micro_batches: Parts a replica's batch is cut into, to save memory.
        critic_steps: Where two networks play against each other, updates of the discriminator
            before each of the generator; they share the batch.
        average_half_life: Examples after which a weight counts half in the averaged weights, which
            are then evaluated and exported.
        loss_limit: How many times its running level the loss may reach before the run stops
            itself; None lets it climb.
        label_smoothing: Share of every training label that is spread over all classes.
        mixup: alpha of Beta(alpha, alpha), by which training examples and their labels are mixed in
            pairs; 0 mixes none.
        randaugment: Operations on each training picture, and their magnitude from 0 to 10.
        label_share: Share of the training examples whose labels are known; the others are left out.
        colour_strength: How strongly colours of compared views are changed; 0 leaves them.
        journals: What is written beside logs.jsonl and samples/: any of csv, tensorboard, wandb,
            mlflow, with commas between.
        profile: FIRST:LAST, steps to profile for TensorBoard; whole calls of the graph are.
        list: Names the papers and presets, then stops.
        describe: Prints the resolved run and the number of parameters, then stops.
        dry_run: One step, one evaluation, one export to a temporary folder, then stops.
        no_export: Ends without publishing; the same command without this flag publishes.
    """

    model: str
    preset: str
    recipe: Annotated[str, tyro.conf.arg(metavar="auto|paper|cpu")] = "auto"
    data: str
    data_dir: pathlib.Path | None = None
    steps: int
    batch_size: int
    seed: int = 0
    strategy: StrategyName = "auto"
    replicas: int | None = None
    spawn: int | None = None
    precision: Precision = "float32"
    compile: Switch = "auto"
    run_dir: pathlib.Path | None = None
    export_dir: pathlib.Path = pathlib.Path("exports")
    init_from: str | None = None
    freeze: Bare = False
    log_every: int
    eval_every: int
    save_every: int
    eval_batches: int
    keep: int = 2
    micro_batches: int = 1
    critic_steps: int = 1
    average_half_life: int | None = None
    loss_limit: float | None
    label_smoothing: float = 0.0
    mixup: float = 0.0
    randaugment: tuple[int, int] | None = None
    label_share: float = 1.0
    colour_strength: float = 0.0
    journals: str = "csv,tensorboard"
    profile: str | None = None
    list: Annotated[Bare, tyro.conf.arg(name="list")] = False
    describe: Bare = False
    dry_run: Bare = False
    no_export: Bare = False
    config: tyro.conf.FlagConversionOff[C]
    codec: K
    optimizer: tyro.conf.FlagConversionOff[Annotated[R, _kinds("optimizer", OPTIMIZERS)]]
    schedule: tyro.conf.FlagConversionOff[Annotated[S, _kinds("schedule", SCHEDULES)]]
    discriminator_optimizer: tyro.conf.FlagConversionOff[
        Annotated[D, _kinds("discriminator-optimizer", OPTIMIZERS)]
    ]
    acting: tyro.conf.FlagConversionOff[A]

    def over(self, base: Recipe) -> Recipe:
        """The recipe with what was given on the command line; no paper's if that changes it."""
        names = {f.name for f in dataclasses.fields(Recipe)}
        given = {f.name for f in dataclasses.fields(self)}
        made = dataclasses.replace(base, **{n: getattr(self, n) for n in names & given})
        kept = all(getattr(made, n) == getattr(base, n) for n in PUBLISHED)
        return made if kept or base.origin != "paper" else dataclasses.replace(made, origin="own")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ConfigOnly(Generic[C]):
    config: tyro.conf.FlagConversionOff[C]


def parse(argv: Sequence[str]) -> tuple[Flags[Any, Any, Any, Any, Any, Any], Recipe]:
    """Flags and the recipe they override.

    Raises:
        UserError: an unknown model, preset or flag, values that contradict each other.
        SystemExit: tyro's help (0) or its message about a value (2).
    """
    model, preset, profile, default = _preset(argv)
    kind, config = type(default), default
    if any(a.replace("-", "_").startswith("__config.") for a in argv):
        only, _ = tyro.cli(
            _ConfigOnly[kind],  # type: ignore[valid-type]
            args=[a for a in argv if a not in ("--help", "-h")],
            default=_ConfigOnly(config=default),
            return_unknown_args=True,
            add_help=False,
        )
        config = only.config
    chosen = recipes.profile(model, profile, config)
    base = _with_kinds(argv, chosen)
    shared = {f.name for f in dataclasses.fields(Flags)}
    shared &= {f.name for f in dataclasses.fields(Recipe)}
    given = {name: getattr(base, name) for name in shared}
    flags: Flags[Any, Any, Any, Any, Any, Any] = Flags(
        model=model, preset=preset, config=config, **given
    )
    _check_names(argv, flags)
    parts = (base.codec, base.optimizer, base.schedule, base.discriminator_optimizer, base.acting)
    whole: Any = Flags[(kind, *map(type, parts))]  # type: ignore[misc,valid-type]
    flags = tyro.cli(whole, prog="python -m training.run", args=list(argv), default=flags)
    _check_values(flags)
    return flags, flags.over(chosen)


def _preset(argv: Sequence[str]) -> tuple[str, str, str, Any]:
    """The model, preset and recipe's profile of a command line, and the preset's config."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--model")
    first.add_argument("--preset")
    first.add_argument("--recipe", default="auto")
    known, _ = first.parse_known_args(argv)
    if known.model is None:
        how = (
            f"Give --model=NAME, one of: {', '.join(zoo.names())}; "
            "--model=NAME --help explains its flags, --list its presets."
        )
        if {"--help", "-h"} & set(argv):
            print(how)
            raise SystemExit(0)
        raise UserError(f"No --model was given. {how}")
    try:
        paper = zoo.load(known.model)
    except ValueError as error:
        raise UserError(str(error)) from None
    preset = known.preset or recipes.load(known.model).PRESET
    if preset not in paper.PRESETS:
        raise UserError(zoo.unknown(f"preset of {known.model}", preset, list(paper.PRESETS)))
    return known.model, preset, known.recipe, paper.PRESETS[preset]


def _with_kinds(argv: Sequence[str], recipe: Recipe) -> Recipe:
    """The recipe, its optimizer and schedule of the kinds that were given.

    Another kind than the recipe's comes with its own defaults; the recipe's numbers would mean
    something else there.
    """

    def chosen(part: str, kinds: Mapping[str, Any]) -> Any:
        default = getattr(recipe, part)
        if default is None:
            return None
        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        spelled = f"--{part.replace('_', '-')}.kind"
        first.add_argument(spelled, f"--{part}.kind", dest="kind", default=default.kind)
        kind = first.parse_known_args(argv)[0].kind
        if kind not in kinds:
            raise UserError(zoo.unknown(spelled, kind, list(kinds)))
        return default if kind == default.kind else kinds[kind]()

    return dataclasses.replace(
        recipe,
        optimizer=chosen("optimizer", OPTIMIZERS),
        schedule=chosen("schedule", SCHEDULES),
        discriminator_optimizer=chosen("discriminator_optimizer", OPTIMIZERS),
    )


def _check_names(argv: Sequence[str], flags: Flags[Any, Any, Any, Any, Any, Any]) -> None:
    """Raises UserError for a flag that does not exist; the message names the nearest."""
    names: list[str] = []
    for field in dataclasses.fields(flags):
        value = getattr(flags, field.name)
        if field.name in ("discriminator_optimizer", "acting") and value is None:
            continue  # this paper trains one network, or learns from what there is
        inner = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
        names += [f"{field.name}.{f.name}" for f in inner] or [field.name]

    def where(name: str) -> str:
        kind = getattr(getattr(flags, name[2:].split(".")[0].replace("-", "_"), None), "kind", None)
        return f" where the kind is {kind}" if kind and "." in name else ""

    command.check_names(argv, names, where=where)


def _check_values(flags: Flags[Any, Any, Any, Any, Any, Any]) -> None:
    """Raises UserError for values that no type can rule out."""
    check(0 <= flags.seed < 2**32, "seed", flags.seed, "lie in [0, 2^32)")
    check(
        flags.replicas is None or flags.replicas >= 1, "replicas", flags.replicas, "be at least 1"
    )
    check(flags.spawn is None or flags.spawn >= 2, "spawn", flags.spawn, "be at least 2")
    if flags.spawn and flags.strategy not in ("auto", "multi_worker"):
        raise UserError(
            f"--spawn={flags.spawn} starts a cluster, and --strategy is {flags.strategy}; "
            "give --strategy=multi_worker or leave it out."
        )
    if flags.spawn and "TF_CONFIG" in os.environ and not cluster.spawned():
        raise UserError(
            f"--spawn={flags.spawn} starts a cluster, and TF_CONFIG describes another; unset it, "
            "or leave --spawn out."
        )


def listing() -> str:
    """The papers and their presets, a line each."""
    lines = []
    for name in zoo.names():
        paper = zoo.load(name)
        lines.append(f"{name}  {paper.PAPER.title} ({paper.PAPER.year})")
        lines.append(f"    {', '.join(paper.PRESETS)}")
    return "\n".join(lines)
