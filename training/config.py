"""What a run is made of: frozen values that can be printed, compared and written to run.json."""

import dataclasses
import json
import math
import pathlib
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, Union, get_args, get_origin, get_type_hints

from training.acting import Acting

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
StrategyName = Literal["auto", "one", "mirrored", "multi_worker"]
Switch = Literal["auto", "on", "off"]
Origin = Literal["paper", "cpu", "own"]


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
class ImageCodecChoice:
    """How a picture becomes what the network sees; `--init-from` decides what its weights want.

    Attributes:
        short: The short side is resized to this, then the centre is cut out; None resizes both
            sides, whatever their ratio.
        mean: Subtracted from values of 0 to 255, a number or one for each channel; None takes the
            mean of the training part.
        deviation: Divides; None takes that of the training part.
        order: "bgr" turns colours round.
        resample: How pictures are resized.
    """

    kind: Literal["images"] = "images"
    short: int | None = None
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    order: Literal["rgb", "bgr"] = "rgb"
    resample: Literal["bilinear", "bicubic"] = "bilinear"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureCodecChoice:
    """Rows of numbers are taken as they are."""

    kind: Literal["features"] = "features"


CodecChoice = TextCodecChoice | ImageCodecChoice | FeatureCodecChoice


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one paper is trained.

    Attributes:
        data: A family in `training/data`.
        codec: What turns user values into batches.
        learner: A rule in `training/learners`.
        objective: A function in `training/objectives`.
        discriminator_optimizer: Of the second network where two play against each other, as
            `optimizer` is the generator's; None where there is one network.
        critic_steps: Updates of the discriminator before each of the generator.
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
        origin: Whose schedule this is: the paper's, a short one for a CPU, or another of our own.
        freeze: Whether a classifier's head alone is trained: a linear probe.
        label_smoothing: Share of every training label that is spread over all classes, in [0, 1).
        mixup: alpha of the Beta(alpha, alpha) by which training examples are mixed; 0 mixes none.
        randaugment: How many operations of which magnitude, 0 to 10, change each training picture;
            None changes none.
        label_share: Share of the training examples whose labels are known, above 0 and at most 1;
            the others are left out.
        colour_strength: s, by which the colours of the two views of contrastive learning are
            changed; 0 leaves them.
        acting: How the run plays where it learns from what it does itself; None where its data
            were there before it.
    """

    data: str
    codec: CodecChoice
    learner: str
    objective: str
    optimizer: OptimizerChoice
    schedule: ScheduleChoice
    discriminator_optimizer: OptimizerChoice | None = None
    critic_steps: int = 1
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
    origin: Origin = "own"
    freeze: bool = False
    label_smoothing: float = 0.0
    mixup: float = 0.0
    randaugment: tuple[int, int] | None = None
    label_share: float = 1.0
    colour_strength: float = 0.0
    acting: Acting | None = None

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
        self._check_targets()
        self._check_players()
        acts, needs = self.acting is not None, self.learner == "q_learning"
        must = f"be {'given' if needs else 'left out'} where the learner is {self.learner}"
        check(acts == needs, "acting", self.acting and self.acting.environment, must)

    def _check_players(self) -> None:
        """Raises UserError unless there is an optimizer for each network that is trained."""
        two, second = self.learner == "adversarial", self.discriminator_optimizer
        kind = None if second is None else second.kind
        must = "be given" if two else "be left out"
        needs = f"{must} where the learner is {self.learner}"
        check(two == (second is not None), "discriminator_optimizer", kind, needs)
        steps, rows = self.critic_steps, self.batch_size
        check(steps >= 1, "critic_steps", steps, "be at least 1")
        check(two or steps == 1, "critic_steps", steps, f"be 1 where the learner is {self.learner}")
        check(rows % steps == 0, "critic_steps", steps, f"divide batch_size, {rows}")

    def _check_targets(self) -> None:
        """Raises UserError unless labels and pictures can be changed as the fields say."""
        smoothing, mixup = self.label_smoothing, self.mixup
        check(0 <= smoothing < 1, "label_smoothing", smoothing, "be at least 0 and below 1")
        check(0 <= mixup < math.inf, "mixup", mixup, "be at least 0 and finite")
        count, magnitude = self.randaugment or (1, 0)
        right = count >= 1 and 0 <= magnitude <= 10
        check(right, "randaugment", self.randaugment, "be a count from 1, a magnitude from 0 to 10")
        share = self.label_share
        check(0 < share <= 1, "label_share", share, "be above 0 and at most 1")
        without = {"label_smoothing": 0, "mixup": 0, "randaugment": None, "label_share": 1}
        for name, nothing in without.items():
            classes = self.objective == "classification" or getattr(self, name) == nothing
            needs = f"be left out where the objective is {self.objective}: there are no classes"
            check(classes, name, getattr(self, name), needs)
        strength = self.colour_strength
        check(0 <= strength < math.inf, "colour_strength", strength, "be at least 0 and finite")
        views = self.objective == "contrastive" or not strength
        needs = f"be left out where the objective is {self.objective}: it compares no views"
        check(views, "colour_strength", strength, needs)


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
    seed: int = 0
    strategy: StrategyName = "one"
    replicas: int | None = None
    precision: Precision = "float32"
    compile: bool = False
    data_dir: pathlib.Path | None = None
    data_sha256: str = ""
    init_from: str | None = None
    run_dir: pathlib.Path
    export_dir: pathlib.Path
    journals: tuple[str, ...] = ("csv", "tensorboard")
    profile: tuple[int, int] | None = None
    arguments: tuple[str, ...] = ()


# What a run may change when it goes on: where it lies, and what says nothing of its result.
FREE = (
    *("run_dir", "export_dir", "data_dir"),
    *("arguments", "journals", "profile", "recipe.keep", "recipe.loss_limit", "recipe.origin"),
)


def to_json(run: Run) -> str:
    """The run as text; equal runs give equal text."""
    return json.dumps(dataclasses.asdict(run), indent=2, default=str) + "\n"


def differences(old: dict[str, Any], run: Run) -> list[str]:
    """Where a stored run differs from this one: "recipe.batch_size is 12 there, 16 here"."""
    there, here = flat(old), flat(json.loads(to_json(run)))
    return [
        f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name) and name not in FREE
    ]


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """A stored run's fields by their dotted names."""
    if not isinstance(value, dict):
        return {name: value}
    parts = [flat(v, f"{name}.{k}" if name else k) for k, v in value.items()]
    return {k: v for part in parts for k, v in part.items()}


def from_json(text: str, types_of: Callable[[str], Mapping[str, Any]]) -> Run:
    """The run that `to_json` wrote.

    Args:
        types_of: A model's name to the types of the fields that differ by model or that only a
            protocol describes here, by dotted name.

    Raises:
        UserError: a field is missing, unknown or of another type; the message names it.
        ValueError: the text is not JSON, or describes no run at all.
    """
    stored = json.loads(text)
    if not isinstance(stored, dict) or "model" not in stored:
        raise ValueError("it names no model")
    run: Run = _value(Run, stored, "", types_of(stored["model"]))
    return run


def _fields(kind: Any, value: Any, name: str, known: Mapping[str, Any]) -> Any:
    """A dataclass from a JSON object with exactly its fields."""
    if not isinstance(value, dict):
        raise UserError(f"{name} is {value!r}, not an object.")
    hints = get_type_hints(kind)
    names = {f.name: f"{name}.{f.name}".lstrip(".") for f in dataclasses.fields(kind)}
    for field in [*names, *value]:
        if field not in value:
            raise UserError(f"{names[field]} is missing.")
        if field not in names:
            raise UserError(f"{f'{name}.{field}'.lstrip('.')} is unknown.")
    values = {n: _value(hints[n], value[n], names[n], known) for n in names}
    try:
        return kind(**values)
    except ValueError as error:
        raise UserError(str(error)) from None


def _value(kind: Any, value: Any, name: str, known: Mapping[str, Any]) -> Any:
    """A JSON value as a value of that type, or of the type known for the name; strictly."""
    kind = known.get(name, kind)
    if dataclasses.is_dataclass(kind):
        return _fields(kind, value, name, known)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        member = _member(inner, value, name)
        return _value(member, value, name, {**known, name: member})
    if origin is tuple and isinstance(value, list):
        each = inner[:1] * len(value) if inner[1:] == (...,) else inner
        if len(each) == len(value):
            return tuple(_value(k, v, f"{name}[]", known) for k, v in zip(each, value, strict=True))
    if origin is Literal and value in inner:
        return value
    if kind is pathlib.Path and isinstance(value, str):
        return pathlib.Path(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    raise UserError(f"{name} is {value!r}; allowed: {_spelled(kind)}.")


def _member(kinds: tuple[Any, ...], value: Any, name: str) -> Any:
    """Which type of a union a JSON value is of; dataclasses are told apart by their `kind`."""
    if value is None and type(None) in kinds:
        return type(None)
    classes = [k for k in kinds if dataclasses.is_dataclass(k)]
    if isinstance(value, dict) and len(classes) > 1:
        by_kind = {name: k for k in classes for name in get_args(get_type_hints(k)["kind"])}
        if value.get("kind") not in by_kind:
            raise UserError(f"{name}.kind is {value.get('kind')!r}; allowed: {', '.join(by_kind)}.")
        return by_kind[value["kind"]]
    for kind in (k for k in kinds if k is not type(None)):
        try:
            _value(kind, value, name, {})
        except UserError:
            continue
        return kind
    return next(k for k in kinds if k is not type(None))


def _spelled(kind: Any) -> str:
    """A type as a user may read it."""
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    return kind.__name__ if isinstance(kind, type) else str(kind)
