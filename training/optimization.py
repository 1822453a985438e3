"""What an optimizer and a schedule can be: frozen values, one class a kind, without TensorFlow.

`--optimizer.kind=NAME` and `--schedule.kind=NAME` pick a class; its fields are the flags then.
"""

import dataclasses
import typing
from collections.abc import Callable
from typing import Any, Literal

from training.config import check

# What the fields of both must be, by name; one that is None is not checked.
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "be above 0": (
        lambda x: x > 0,
        "learning_rate clip_norm bias_rate epsilon trust exponent epsilon_1 epsilon_2 threshold "
        "power width",
    ),
    "be at least 0": (lambda x: x >= 0, "weight_decay accumulator warmup_steps min_delta"),
    "be at least 1": (lambda x: x >= 1, "patience"),
    "lie in [0, 1)": (lambda x: 0 <= x < 1, "momentum rho beta_1 beta_2 hold"),
    "lie in (0, 1)": (lambda x: 0 < x < 1, "factor"),
    "lie in [0, 1]": (lambda x: 0 <= x <= 1, "final"),
}


def _check(part: str, values: Any) -> None:
    """Raises UserError unless every field lies in its range."""
    for must, (holds, names) in RANGES.items():
        for name in names.split():
            value = getattr(values, name, None)
            check(value is None or holds(value), f"{part}.{name}", value, must)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Optimizer:
    """What every optimizer has.

    Attributes:
        kind: The rule.
        learning_rate: The rate that the schedule scales.
        weight_decay: Strength of the decay.
        decay: "matrices" spares biases, gains and other vectors.
        clip_norm: Largest global norm of the gradient of the whole batch; None does not clip.
    """

    kind: str = ""
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    decay: Literal["all", "matrices"] = "matrices"
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        _check("optimizer", self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SGD(_Optimizer):
    """Descent with momentum, as Caffe and torch have it: v = μv + g + λw, w -= rate * v.

    The rate stands outside the velocity, so a lower rate takes hold at once.

    Attributes:
        momentum: μ; 0 keeps no velocity.
        nesterov: Looks ahead: w -= rate * (g + λw + μv).
        bias_rate: Rate of biases and other vectors over that of matrices; Caffe's nets have 2.
    """

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    bias_rate: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        wanted = not self.nesterov or self.momentum > 0
        check(wanted, "optimizer.momentum", self.momentum, "be above 0 with nesterov")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adagrad(_Optimizer):
    """Each weight at a rate of its own (Duchi, Hazan and Singer 2011, figure 1, diagonal).

    Attributes:
        accumulator: Where the sum of squared gradients starts; 0 in the paper.
        epsilon: Added to the root of the sum, the paper's δ.
    """

    kind: Literal["adagrad"] = "adagrad"
    learning_rate: float = 0.01
    accumulator: float = 0.0
    epsilon: float = 1e-10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adadelta(_Optimizer):
    """Steps in the unit of the weights, without a rate to choose (Zeiler 2012, algorithm 1).

    Attributes:
        learning_rate: A factor of the paper's step; 1 there.
        rho: Decay of both averages.
        epsilon: Added inside both roots.
    """

    kind: Literal["adadelta"] = "adadelta"
    learning_rate: float = 1.0
    rho: float = 0.95
    epsilon: float = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class RMSprop(_Optimizer):
    """The gradient over its root mean square; the defaults are those of DQN's published code.

    Mnih et al. 2015 call the average of the gradient, which centring needs, "gradient momentum";
    their code has no velocity.

    Attributes:
        rho: Decay of the averages.
        epsilon: Added inside the root.
        centered: Subtracts the squared mean gradient inside the root.
        momentum: Of a velocity that holds rate times step (Hinton's lecture has none).
    """

    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: float = 2.5e-4
    rho: float = 0.95
    epsilon: float = 0.01
    centered: bool = True
    momentum: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam(_Optimizer):
    """Adaptive moments (Kingma and Ba 2015, algorithm 1); decay goes through the moments.

    Attributes:
        beta_1: Decay of the mean gradient.
        beta_2: Decay of the mean squared gradient.
        epsilon: Added to the root of the corrected mean square, as in the algorithm.
    """

    kind: Literal["adam"] = "adam"
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertAdam(Adam):
    """Adam without bias correction, with decoupled decay, as in BERT's published code."""

    kind: Literal["bert_adam"] = "bert_adam"  # type: ignore[assignment]
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    epsilon: float = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled decay (Loshchilov and Hutter 2019, algorithm 2).

    `weight_decay` is times the learning rate. Epsilon is added to the root before the correction,
    which is the form at the end of section 2 of Adam's paper.
    """

    kind: Literal["adamw"] = "adamw"  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LARS(_Optimizer):
    """Momentum with a rate for each matrix by its norm over its gradient's norm (You et al. 2017).

    As in SimCLR's published code: vectors neither decay nor get a rate of their own, and the
    velocity holds rate times gradient. SimCLR's rate is 0.3 for each 256 examples of a batch.

    Attributes:
        momentum: Decay of the velocity.
        trust: Norm of a step over the norm of the matrix, at rate 1.
    """

    kind: Literal["lars"] = "lars"
    learning_rate: float = 0.3
    weight_decay: float = 1e-6
    momentum: float = 0.9
    trust: float = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adafactor(_Optimizer):
    """Adam's mean square from its rows and columns (Shazeer and Stern 2018, algorithms 4 and 5).

    Attributes:
        learning_rate: The rate relative to a weight's size is at most this, and 1 / sqrt(step).
        exponent: The mean square decays by 1 - step ** -exponent.
        epsilon_1: Added to the squared gradient.
        epsilon_2: Smallest size of a weight, as a root mean square.
        threshold: Largest root mean square of a step before the rate.
    """

    kind: Literal["adafactor"] = "adafactor"
    learning_rate: float = 0.01
    exponent: float = 0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    threshold: float = 1.0


Optimizer = SGD | Adagrad | Adadelta | RMSprop | Adam | BertAdam | AdamW | LARS | Adafactor
OPTIMIZERS: dict[str, type[Optimizer]] = {c().kind: c for c in typing.get_args(Optimizer)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Schedule:
    """What every schedule has: the rate is a share of the optimizer's, by step.

    Attributes:
        kind: The form.
    """

    kind: str = ""

    def __post_init__(self) -> None:
        _check("schedule", self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Warmed(_Schedule):
    """A schedule that may rise first.

    Attributes:
        warmup_steps: Linear rise over this many first steps.
    """

    warmup_steps: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Falling(_Warmed):
    """A schedule that falls to the last step.

    Attributes:
        final: Share of the peak at the last step, in [0, 1].
    """

    final: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant(_Warmed):
    """The same rate throughout."""

    kind: Literal["constant"] = "constant"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step(_Warmed):
    """Times a factor at each of some steps; the defaults are ResNet's on CIFAR-10 (section 4.2).

    Attributes:
        boundaries: Rising steps, each the first at the next rate.
        factor: Of the rate at each boundary, in (0, 1).
    """

    kind: Literal["step"] = "step"
    boundaries: tuple[int, ...] = (32_000, 48_000)
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        rising = list(self.boundaries) == sorted({b for b in self.boundaries if b > 0})
        given = " ".join(map(str, self.boundaries)) or "empty"
        must = "hold steps above 0 that rise"
        check(rising and given != "empty", "schedule.boundaries", given, must)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plateau(_Schedule):
    """Times a factor whenever the watched number of the evaluations no longer falls.

    Attributes:
        factor: Of the rate, in (0, 1).
        patience: Evaluations in a row without a new lowest number before the rate falls.
        min_delta: A number is a new lowest one only if it is lower by more than this.
    """

    kind: Literal["plateau"] = "plateau"
    factor: float = 0.1
    patience: int = 5
    min_delta: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cosine(_Falling):
    """From the peak to `final` on half a cosine (Loshchilov and Hutter 2017, equation 5)."""

    kind: Literal["cosine"] = "cosine"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Linear(_Falling):
    """From the peak to `final` on a line."""

    kind: Literal["linear"] = "linear"


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldLinear(_Falling):
    """At the peak for a while, then to `final` on a line; the default is Forward-Forward's code's.

    Attributes:
        hold: Share of the steps after the rise that stay at the peak, in [0, 1).
    """

    kind: Literal["held_linear"] = "held_linear"
    hold: float = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Polynomial(_Falling):
    """From the peak to `final` by (1 - done) ** power; 0.5 is that of Caffe's GoogLeNet.

    Attributes:
        power: Of the share of steps that are left.
    """

    kind: Literal["polynomial"] = "polynomial"
    power: float = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class InverseSqrt(_Schedule):
    """The Transformer's (section 5.3): a linear rise, then the inverse root of the step.

    Attributes:
        warmup_steps: Steps of the rise.
        width: d_model: the rate is learning_rate * width**-0.5 * min(step**-0.5, step *
            warmup_steps**-1.5), step from 1, and the paper's learning_rate is 1. None makes
            learning_rate the rate at the end of the rise.
    """

    kind: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup_steps: int = 4000
    width: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.warmup_steps >= 1, "schedule.warmup_steps", self.warmup_steps, "be at least 1")


Schedule = Constant | Step | Plateau | Cosine | Linear | HeldLinear | Polynomial | InverseSqrt
SCHEDULES: dict[str, type[Schedule]] = {c().kind: c for c in typing.get_args(Schedule)}
