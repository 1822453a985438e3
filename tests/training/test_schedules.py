"""Schedules: each against its closed form, and the plateau against a list of numbers."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from training import optimization as o
from training import optimizers
from training.schedules import Rate

PEAK, STEPS = 0.5, 100


def rates(schedule, steps):
    rate = Rate(PEAK, schedule, STEPS)
    return [float(rate(keras.ops.convert_to_tensor(step, "int64"))) for step in steps]


def left(step, warmup=0):
    return 1 - (step - warmup) / (STEPS - warmup)


@pytest.mark.parametrize(
    ("schedule", "share"),
    [
        (o.Constant(), lambda s: 1.0),
        (o.Constant(warmup_steps=10), lambda s: min((s + 1) / 11, 1.0)),
        (o.Cosine(final=0.1), lambda s: 0.1 + 0.9 * (1 + math.cos(math.pi * s / STEPS)) / 2),
        (o.Linear(), left),
        (o.Linear(final=0.2), lambda s: 0.2 + 0.8 * left(s)),
        (o.HeldLinear(), lambda s: min(2 * left(s), 1.0)),
        (o.HeldLinear(hold=0.2, final=0.5), lambda s: 0.5 + 0.5 * min(left(s) / 0.8, 1.0)),
        (o.Polynomial(), lambda s: math.sqrt(left(s))),
        (o.Polynomial(power=3.0, final=0.5), lambda s: 0.5 + 0.5 * left(s) ** 3),
        (
            o.Step(boundaries=(30, 60), factor=0.2),
            lambda s: 1.0 if s < 30 else 0.2 if s < 60 else 0.04,
        ),
        (
            o.InverseSqrt(warmup_steps=20),
            lambda s: min((s + 1) / 20, math.sqrt(20 / (s + 1))),
        ),
        (
            o.InverseSqrt(warmup_steps=20, width=512),
            lambda s: 512**-0.5 * min((s + 1) ** -0.5, (s + 1) * 20**-1.5),
        ),
    ],
    ids=lambda x: repr(x) if not callable(x) else "",
)
def test_the_rate_is_the_closed_form(schedule, share):
    steps = [0, 1, 9, 10, 19, 20, 29, 30, 31, 59, 60, 99, 100]
    wanted = [PEAK * share(step) for step in steps]
    np.testing.assert_allclose(rates(schedule, steps), wanted, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("schedule", "falling"),
    [
        (o.Cosine(warmup_steps=10), lambda s: (1 + math.cos(math.pi * (1 - left(s, 10)))) / 2),
        (o.Linear(warmup_steps=10), lambda s: left(s, 10)),
        (o.HeldLinear(warmup_steps=10), lambda s: min(2 * left(s, 10), 1.0)),
        (o.Polynomial(warmup_steps=10, power=2.0), lambda s: left(s, 10) ** 2),
        (o.Step(warmup_steps=10, boundaries=(50,)), lambda s: 1.0 if s < 50 else 0.1),
    ],
    ids=["cosine", "linear", "held_linear", "polynomial", "step"],
)
def test_what_falls_rises_first(schedule, falling):
    steps = [0, 5, 9, 10, 11, 49, 50, 99]
    wanted = [PEAK * ((s + 1) / 11 if s < 10 else falling(s)) for s in steps]
    np.testing.assert_allclose(rates(schedule, steps), wanted, rtol=1e-5, atol=1e-7)


def test_after_the_last_step_nothing_falls_further():
    for schedule in (o.Cosine(final=0.1), o.Linear(final=0.1), o.Polynomial(final=0.1)):
        np.testing.assert_allclose(rates(schedule, [100, 150]), [PEAK * 0.1] * 2, rtol=1e-6)


def test_the_transformers_published_peak():
    """Width 512, 4000 steps of warmup, learning rate 1: 6.99e-4 at step 4000."""
    rate = Rate(1.0, o.InverseSqrt(width=512), 100_000)
    values = [float(rate(keras.ops.convert_to_tensor(s))) for s in (3998, 3999, 4000)]
    assert values[1] == max(values) == pytest.approx(6.99e-4, rel=1e-3)


def plateau(**fields):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    schedule = o.Plateau(**{"factor": 0.1, "patience": 2, "min_delta": 0.1, **fields})
    return optimizers.make(o.SGD(learning_rate=PEAK), schedule, STEPS, model)


def told(optimizer, numbers):
    """The share of the peak after each number."""
    shares = []
    for number in numbers:
        optimizer.rate.watched(number)
        shares.append(round(float(optimizer.learning_rate) / PEAK, 6))
    return shares


NUMBERS = [5.0, 4.0, 3.95, 3.95, 3.85, 3.0, 3.0, float("nan"), 2.95, 2.95, 2.0]
SHARES = [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]


def test_a_plateau_lowers_the_rate_after_patience():
    assert told(plateau(), NUMBERS) == SHARES


def test_a_plateau_goes_on_where_it_was():
    whole, cut = plateau(), plateau()
    for end in range(1, len(NUMBERS)):
        told(whole, [NUMBERS[end - 1]])
        cut = plateau()
        for mine, theirs in zip(cut.variables, whole.variables, strict=True):
            mine.assign(theirs)
        assert told(cut, NUMBERS[end:]) == SHARES[end:]


def test_other_schedules_do_not_listen():
    model = SimpleNamespace(trainable_variables=[keras.Variable(np.ones((2, 2), "float32"))])
    optimizer = optimizers.make(o.SGD(learning_rate=PEAK), o.Constant(), STEPS, model)
    before = len(optimizer.variables)
    assert told(optimizer, [1.0, 2.0, 3.0, 4.0]) == [1.0] * 4
    assert before == 2, "iterations and one velocity"
