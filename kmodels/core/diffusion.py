"""Diffusion: how data become noise in T steps, and how a sampler comes back in S of them.

At time t, from 0 to T - 1, data x are x_t = sqrt(a_t) x + sqrt(1 - a_t) noise, where a_t, the
papers' alpha-bar, falls from almost 1 to almost 0. Time -1 is the data themselves, a = 1.

Sources: Ho, Jain, Abbeel 2020 (DDPM); Song, Meng, Ermon 2020 (DDIM); Nichol, Dhariwal 2021 (the
cosine). Shapes: B batch.
"""

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
import tensorflow as tf

from kmodels.core import rows

Schedule = Literal["linear", "cosine"]
Variance = Literal["small", "large"]
Predict = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # x_t [B, ...], times int32 [B] -> noise
Hold = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]  # x, turn, times of x -> x


def linear(steps: int) -> np.ndarray:
    """Each step's share of new variance, float64 [T], 1e-4 to 0.02 (DDPM, section 4)."""
    return np.linspace(1e-4, 0.02, steps)


def cosine(steps: int) -> np.ndarray:
    """The same from a = cos^2, float64 [T], at most 0.999 (Nichol, Dhariwal, equation 17)."""
    at = (np.arange(steps + 1) / steps + 0.008) / 1.008
    left = np.cos(at * np.pi / 2) ** 2
    betas: np.ndarray = np.minimum(1 - left[1:] / left[:-1], 0.999)
    return betas


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Process:
    """One way from data to noise.

    Attributes:
        alpha_bars: float64 [T + 1]; the one of time t stands at t + 1.
        variance: Of the noise a sampler adds with eta 1: "small" is that of the posterior given
            the data, "large" that of the step itself, DDPM's two choices (section 3.2).
    """

    alpha_bars: np.ndarray
    variance: Variance = "small"

    @classmethod
    def of(cls, schedule: Schedule, steps: int, *, variance: Variance = "small") -> "Process":
        """The process of a schedule in so many steps."""
        betas = {"linear": linear, "cosine": cosine}[schedule](steps)
        bars = np.concatenate([[1.0], np.cumprod(1 - betas)])
        return cls(alpha_bars=bars, variance=variance)

    @property
    def steps(self) -> int:
        """T."""
        return len(self.alpha_bars) - 1

    def alpha_bar(self, times: tf.Tensor) -> tf.Tensor:
        """float64 [B] at int32 times [B] of -1 to T - 1."""
        return tf.gather(tf.constant(self.alpha_bars, tf.float64), times + 1)

    def noised(self, clean: tf.Tensor, noise: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
        """x_t, float32 [B, ...], of data and standard normal noise (DDPM, equation 4)."""
        bar = self.alpha_bar(times)
        return _each(tf.sqrt(bar), clean) * clean + _each(tf.sqrt(1 - bar), noise) * noise

    def cleaned(
        self, x: tf.Tensor, noise: tf.Tensor, times: tf.Tensor, *, clip: float | None = 1.0
    ) -> tf.Tensor:
        """The data that x_t and a prediction of its noise speak of, cut off at -clip and clip."""
        return _cut_off(_mixed(self.cleaning(times), x, noise), clip)

    def cleaning(self, times: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What x_t and its noise are taken by to give the data, float64 [...] as the times."""
        bar = self.alpha_bar(times)
        return tf.sqrt(1 / bar), -tf.sqrt(1 / bar - 1)

    def back(
        self,
        x: tf.Tensor,
        clean: tf.Tensor,
        times: tf.Tensor,
        *,
        before: tf.Tensor,
        eta: tf.Tensor,
        fresh: tf.Tensor,
    ) -> tf.Tensor:
        """From a time to an earlier one (DDIM, equations 12 and 16).

        The noise that leads on is the one between x and `clean`, also where `clean` was cut off.
        So with eta 1, one time at a time, this is DDPM's step (equations 6 and 7).

        Args:
            x: float32 [B, ...], at `times`.
            clean: The data it speaks of, as `cleaned` gives.
            before: int32 [B], the earlier times; -1 is the data.
            eta: float32 [B], 0 adds no noise, 1 as much as DDPM.
            fresh: Standard normal [B, ...].
        """
        return _mixed(self.going_back(times, before=before, eta=eta), clean, x, fresh)

    def going_back(
        self, times: tf.Tensor, *, before: tf.Tensor, eta: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What `back` takes the data, x and the new noise by, float64 [...] as the times."""
        now, then = self.alpha_bar(times), self.alpha_bar(before)
        share = tf.cast(eta, tf.float64)
        spread = share * tf.sqrt((1 - then) / (1 - now) * (1 - now / then))
        led = tf.sqrt(tf.maximum(1 - then - spread**2, 0) / (1 - now))
        if self.variance == "large":
            spread = tf.where(before < 0, tf.zeros_like(share), share * tf.sqrt(1 - now / then))
        return tf.sqrt(then) - led * tf.sqrt(now), led, spread


def _mixed(factors: Iterable[tf.Tensor], *parts: tf.Tensor) -> tf.Tensor:
    """The sum of parts [B, ...], each times its factor [B]."""
    products = [_each(f, part) * part for f, part in zip(factors, parts, strict=True)]
    return functools.reduce(operator.add, products)


def _cut_off(clean: tf.Tensor, clip: float | None) -> tf.Tensor:
    return clean if clip is None else tf.clip_by_value(clean, -clip, clip)


def _each(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """[B] to [B, 1, ...], in the numbers of `like`."""
    return tf.reshape(tf.cast(values, like.dtype), [-1] + [1] * (len(like.shape) - 1))


def evenly(process: Process, steps: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
    """Times int32 [B] at which so many turns are left: T - 1, ..., T / S - 1, rounded; -1."""
    return (2 * left * process.steps + steps) // (2 * steps) - 1


def quadratically(process: Process, steps: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
    """The same, denser near the data: 0.8 T (n / (S - 1))^2, n from S - 1 to 0; -1.

    DDIM's other choice (appendix D.2, its 0.8 from the authors' code). Of more than about T / 2
    turns some stand at the same time, and change nothing.
    """
    last, at = tf.cast(steps - 1, tf.int64), tf.cast(left - 1, tf.int64)
    last, at = tf.where(last == 0, tf.ones_like(last), last), tf.where(last == 0, at + 1, at)
    time = tf.minimum(4 * process.steps * at**2 // (5 * last**2), process.steps - 1)
    return tf.where(left == 0, -1, tf.cast(time, tf.int32))


def visited(
    process: Process, steps: tf.Tensor, turn: tf.Tensor, *, quadratic: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """The time at which a sampler stands before its turn, and the next one, int32 [..., B] each.

    Args:
        steps: int32 [B], S of each row.
        turn: int32 [] or [..., 1], from 0 on; a row that is done stays at its last one.
        quadratic: bool [B], whether a row's times are spread `quadratically`; None is no row.
    """
    left = tf.maximum(steps - turn, 1)
    now, then = (evenly(process, steps, n) for n in (left, left - 1))
    if quadratic is None:
        return now, then
    dense, denser = (quadratically(process, steps, n) for n in (left, left - 1))
    return tf.where(quadratic, dense, now), tf.where(quadratic, denser, then)


def sample(
    process: Process,
    predict: Predict,
    start: tf.Tensor,
    *,
    seeds: tf.Tensor,
    steps: tf.Tensor,
    eta: tf.Tensor,
    quadratic: tf.Tensor | None = None,
    clip: float | None = 1.0,
    hold: Hold | None = None,
) -> tf.Tensor:
    """Data from noise, float32 [B, ...]: one loop to the largest S, in which each row has its own.

    Args:
        predict: Tells the noise in x_t.
        start: Standard normal [B, ...].
        seeds: int64 [B]; a row's noise at a turn is that of its seed and the number from 1 on.
        steps: int32 [B], in [1, T].
        eta: float32 [B], in [0, 1]; 1 with S = T is DDPM's sampler, 0 DDIM's.
        quadratic: bool [B], as `visited` has it.
        clip: Where predicted data are cut off, at -clip and clip; None does not.
        hold: Changes what a turn has made.
    """
    shape = start.shape[1:]
    most = tf.reduce_max(steps)
    turns = tf.range(most)[:, None]
    times, before = visited(process, steps, turns, quadratic=quadratic)  # [S, B], as all below
    going = turns < steps
    stays = tf.constant([0.0, 1.0, 0.0], tf.float64)[:, None, None]  # x as it is
    back = tf.where(going, process.going_back(times, before=before, eta=eta), stays)
    factors = tf.cast(tf.concat([process.cleaning(times), back], 0), start.dtype)

    def body(turn: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        now = tf.unstack(factors[:, turn])
        clean = _cut_off(_mixed(now[:2], x, predict(x, times[turn])), clip)
        moved = tf.cond(
            tf.reduce_any(eta > 0),
            lambda: _mixed(now[2:], clean, x, rows.normal(seeds, shape, turn=turn + 1)),
            lambda: _mixed(now[2:4], clean, x),
        )
        if hold is not None:
            here = tf.reshape(going[turn], [-1] + [1] * len(shape))
            moved = tf.where(here, hold(moved, turn, before[turn]), x)
        return turn + 1, moved

    invariants = tf.TensorShape([]), start.shape
    loop = tf.while_loop(
        lambda turn, x: turn < most, body, (tf.constant(0), start), shape_invariants=invariants
    )
    made: tf.Tensor = loop[1]
    return made


def between(first: tf.Tensor, second: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Noise [B, ...] on the arc from the first, at weight 0, to the second (DDIM, section 5.3).

    Args:
        weight: float32 [B], in [0, 1].
    """
    axes = list(range(1, len(first.shape)))
    squares = tf.reduce_sum(first**2, axes) * tf.reduce_sum(second**2, axes)
    ratio = tf.reduce_sum(first * second, axes) / tf.sqrt(squares)
    angle = tf.acos(tf.clip_by_value(ratio, -1.0, 1.0))
    one = tf.sin(angle)
    arc = one > 1e-4  # less is the same noise twice, whose arc is a point
    safe = tf.where(arc, one, tf.ones_like(one))
    a = tf.where(arc, tf.sin((1 - weight) * angle) / safe, 1 - weight)
    b = tf.where(arc, tf.sin(weight * angle) / safe, weight)
    return _each(a, first) * first + _each(b, second) * second


def holding(process: Process, known: tf.Tensor, new: tf.Tensor, seeds: tf.Tensor) -> Hold:
    """A sampler's `hold` that leads it by what is known (Song et al. 2021, appendix I.2).

    After each turn the known places are the known data with as much noise as belongs there, at the
    end none.

    Args:
        known: float32 [B, ...], data.
        new: bool, of a shape that spreads over them; what is to be made.
        seeds: int64 [B]; the noise is that of the numbers from -1 down.
    """

    def hold(x: tf.Tensor, turn: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
        fresh = rows.normal(seeds, x.shape[1:], turn=-1 - turn)
        return tf.where(new, x, process.noised(known, fresh, times))

    return hold
