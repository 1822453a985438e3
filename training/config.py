"""What a run is made of: frozen values that can be printed, compared and written to run.json."""

import dataclasses
import json
import pathlib
from typing import Any, Literal

Precision = Literal["float32", "mixed_bfloat16"]
StrategyName = Literal["auto", "one", "mirrored", "multi_worker"]
Switch = Literal["auto", "on", "off"]


class UserError(Exception):
    """Something the user gave cannot be used; the message is one sentence for them."""


def check(holds: bool, name: str, given: Any, must: str) -> None:
    """Raises UserError with one sentence unless a value is as it must be."""
    if not holds:
        raise UserError(f"{name} is {given}; it must {must}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

    Attributes:
        learning_rate: Peak rate; the schedule scales it.
        beta_1: Decay of the mean gradient.
        beta_2: Decay of the mean squared gradient.
        epsilon: Added to the root of the mean square.
        weight_decay: Rate of decay, times the learning rate.
        decay: "matrices" spares biases, gains and other vectors.
        clip_norm: Largest global norm of the gradient of the whole batch; None does not clip.
    """

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decay: Literal["all", "matrices"] = "matrices"
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epsilon", "clip_norm"):
            value = getattr(self, name)
            check(value is None or value > 0, f"optimizer.{name}", value, "be above 0")
        for name in ("beta_1", "beta_2"):
            value = getattr(self, name)
            check(0 <= value < 1, f"optimizer.{name}", value, "lie in [0, 1)")
        check(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "be at least 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over the steps, as a share of its peak.

    Attributes:
        kind: "constant", or "cosine" from the peak to `final` at the last step.
        warmup_steps: Linear rise over this many first steps.
        final: Share of the peak at the last step, in [0, 1].
    """

    kind: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 0
    final: float = 0.0

    def __post_init__(self) -> None:
        check(self.warmup_steps >= 0, "schedule.warmup_steps", self.warmup_steps, "be at least 0")
        check(0 <= self.final <= 1, "schedule.final", self.final, "lie in [0, 1]")


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
    """

    data: str
    codec: TextCodecChoice
    learner: str
    objective: str
    optimizer: AdamW
    schedule: Schedule
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

    def __post_init__(self) -> None:
        for name in ("batch_size", "micro_batches", "steps", "log_every", "eval_batches", "keep"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "be at least 1")
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
