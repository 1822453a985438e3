"""What a run is made of: frozen values that can be printed, compared and written to run.json."""

import dataclasses
import json
import pathlib
from typing import Any, Literal, Protocol

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
StrategyName = Literal["auto", "one", "mirrored", "multi_worker"]
Switch = Literal["auto", "on", "off"]


class UserError(Exception):
    """Something the user gave cannot be used; the message is one sentence for them."""


def check(holds: bool, name: str, given: Any, must: str) -> None:
    """Raises UserError with one sentence unless a value is as it must be."""
    if not holds:
        raise UserError(f"{name} is {given}; it must {must}.")


class OptimizerChoice(Protocol):
    """What every optimizer of `training.optimization` has; `kind` says which it is."""

    @property
    def kind(self) -> str: ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def weight_decay(self) -> float: ...

    @property
    def decay(self) -> Literal["all", "matrices"]: ...

    @property
    def clip_norm(self) -> float | None: ...


class ScheduleChoice(Protocol):
    """What every schedule of `training.optimization` has; `kind` says which it is."""

    @property
    def kind(self) -> str: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextCodecChoice:
    """How text becomes tokens.

    Attributes:
        kind: Single characters, or byte-level BPE.
        folder: A folder with GPT-2's vocab.json and merges.txt; None trains BPE on the text.
    """

    kind: Literal["characters", "byte_pairs"] = "characters"
    folder: pathlib.Path | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one paper is trained.

    Attributes:
        data: A family in `training/data`.
        codec: What turns user values into batches.
        learner: A rule in `training/learners`.
        objective: A function in `training/objectives`.
        batch_size: Examples in one step, over all replicas.
        micro_batches: Parts a replica's batch is cut into, their gradients summed.
        steps: Steps in the run.
        log_every: Steps in one call of the graph, and in one logged mean.
        eval_every: Steps between evaluations, a multiple of `log_every`.
        save_every: Steps between checkpoints, a multiple of `log_every`.
        eval_batches: Batches in one evaluation.
        keep: Newest checkpoints that stay, besides the best.
        watch: The evaluation number that says which checkpoint is best (lowest).
        xla: Whether compiling pays for this paper where `--compile=auto`.
        loss_limit: How many times its running level the loss may reach before the run stops
            itself; None lets it climb. See `training.guards`.
        average_half_life: Examples after which a weight counts half in the averaged weights, which
            are then what is evaluated and exported; None averages nothing.
    """

    data: str
    codec: TextCodecChoice
    learner: str
    objective: str
    optimizer: OptimizerChoice
    schedule: ScheduleChoice
    batch_size: int
    micro_batches: int = 1
    steps: int
    log_every: int
    eval_every: int
    save_every: int
    eval_batches: int
    keep: int = 2
    watch: str = "loss"
    xla: bool = True
    loss_limit: float | None = 100.0
    average_half_life: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "micro_batches", "steps", "log_every", "eval_batches", "keep"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "be at least 1")
        half = self.average_half_life
        check(half is None or half >= 1, "average_half_life", half, "be at least 1")
        for name in ("eval_every", "save_every"):
            value = getattr(self, name)
            multiple = value >= 1 and value % self.log_every == 0
            check(multiple, name, value, f"be a multiple of log_every, {self.log_every}")
        limit = self.loss_limit
        check(limit is None or limit > 1, "loss_limit", limit, "be above 1, or None")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A recipe with everything resolved.

    Attributes:
        config: The paper's own dataclass.
        journals: What is written beside logs.jsonl; see `training.journals`.
        profile: First and last step to profile.
        arguments: The command line it came from.
    """

    model: str
    preset: str
    config: Any
    recipe: Recipe
    seed: int
    strategy: StrategyName
    replicas: int | None
    precision: Precision
    compile: bool
    data_dir: pathlib.Path | None
    data_sha256: str
    init_from: str | None
    run_dir: pathlib.Path
    export_dir: pathlib.Path
    journals: tuple[str, ...] = ("csv", "tensorboard")
    profile: tuple[int, int] | None = None
    arguments: tuple[str, ...] = ()


# What a run may change when it goes on: where it lies, and what says nothing of its result.
FREE = (
    *("run_dir", "export_dir", "data_dir"),
    *("arguments", "journals", "profile", "recipe.keep", "recipe.loss_limit"),
)


def to_json(run: Run) -> str:
    """The run as text; equal runs give equal text."""
    return json.dumps(dataclasses.asdict(run), indent=2, default=str) + "\n"


def differences(old: dict[str, Any], run: Run) -> list[str]:
    """Where a stored run differs from this one: "recipe.batch_size is 12 there, 16 here"."""

    def flat(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {name: value}
        parts = [flat(v, f"{name}.{k}" if name else k) for k, v in value.items()]
        return {k: v for part in parts for k, v in part.items()}

    there, here = flat(old, ""), flat(json.loads(to_json(run)), "")
    return [
        f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name) and name not in FREE
    ]
