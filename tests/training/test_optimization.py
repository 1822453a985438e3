"""Optimizers and schedules as values: what they are called and what they refuse."""

import dataclasses
import json
import subprocess
import sys

import pytest

from training import config, optimization
from training.config import UserError


def test_every_kind_is_a_frozen_value_that_says_which_it_is():
    for kinds in (optimization.OPTIMIZERS, optimization.SCHEDULES):
        for name, kind in kinds.items():
            value = kind()
            assert dataclasses.fields(value)[0].name == "kind" and value.kind == name
            with pytest.raises(dataclasses.FrozenInstanceError):
                value.kind = "other"
            with pytest.raises(TypeError):
                kind(1)


def test_the_kinds_are_those_of_the_papers():
    assert set(optimization.OPTIMIZERS) == {
        "sgd", "adagrad", "adadelta", "rmsprop", "adam", "bert_adam", "adamw", "lars", "adafactor",
    }  # fmt: skip
    assert set(optimization.SCHEDULES) == {
        "constant", "step", "plateau", "cosine", "linear", "held_linear", "polynomial",
        "inverse_sqrt",
    }  # fmt: skip


def test_a_stored_run_says_its_kinds_and_differs_by_them(make_run):
    sgd = make_run(optimizer=optimization.SGD(), schedule=optimization.Step(boundaries=(3, 5)))
    stored = json.loads(config.to_json(sgd))
    assert stored["recipe"]["optimizer"]["kind"] == "sgd"
    assert stored["recipe"]["schedule"]["boundaries"] == [3, 5]
    assert config.differences(stored, sgd) == []
    other = dataclasses.replace(sgd.recipe, optimizer=optimization.LARS(learning_rate=0.01))
    different = config.differences(stored, dataclasses.replace(sgd, recipe=other))
    assert "recipe.optimizer.kind is 'sgd' there and 'lars' here" in different


@pytest.mark.parametrize(
    ("kind", "change", "sentence"),
    [
        ("SGD", {"learning_rate": 0}, "optimizer.learning_rate is 0; it must be above 0."),
        ("SGD", {"momentum": 1.0}, "optimizer.momentum is 1.0; it must lie in [0, 1)."),
        ("SGD", {"bias_rate": 0}, "optimizer.bias_rate is 0; it must be above 0."),
        (
            "SGD",
            {"nesterov": True, "momentum": 0},
            "optimizer.momentum is 0; it must be above 0 with nesterov.",
        ),
        ("Adagrad", {"accumulator": -1}, "optimizer.accumulator is -1; it must be at least 0."),
        ("Adadelta", {"rho": 1}, "optimizer.rho is 1; it must lie in [0, 1)."),
        ("RMSprop", {"epsilon": 0}, "optimizer.epsilon is 0; it must be above 0."),
        ("Adam", {"beta_2": -0.1}, "optimizer.beta_2 is -0.1; it must lie in [0, 1)."),
        ("BertAdam", {"clip_norm": -1}, "optimizer.clip_norm is -1; it must be above 0."),
        ("AdamW", {"weight_decay": -1}, "optimizer.weight_decay is -1; it must be at least 0."),
        ("LARS", {"trust": 0}, "optimizer.trust is 0; it must be above 0."),
        ("Adafactor", {"threshold": 0}, "optimizer.threshold is 0; it must be above 0."),
        ("Constant", {"warmup_steps": -1}, "schedule.warmup_steps is -1; it must be at least 0."),
        ("Cosine", {"final": 2}, "schedule.final is 2; it must lie in [0, 1]."),
        ("Linear", {"final": -1}, "schedule.final is -1; it must lie in [0, 1]."),
        ("HeldLinear", {"hold": 1.0}, "schedule.hold is 1.0; it must lie in [0, 1)."),
        ("Polynomial", {"power": 0}, "schedule.power is 0; it must be above 0."),
        ("Step", {"factor": 1}, "schedule.factor is 1; it must lie in (0, 1)."),
        (
            "Step",
            {"boundaries": (5, 5)},
            "schedule.boundaries is 5 5; it must hold steps above 0 that rise.",
        ),
        (
            "Step",
            {"boundaries": (0, 5)},
            "schedule.boundaries is 0 5; it must hold steps above 0 that rise.",
        ),
        (
            "Step",
            {"boundaries": ()},
            "schedule.boundaries is empty; it must hold steps above 0 that rise.",
        ),
        ("Plateau", {"patience": 0}, "schedule.patience is 0; it must be at least 1."),
        ("Plateau", {"factor": 0}, "schedule.factor is 0; it must lie in (0, 1)."),
        ("Plateau", {"min_delta": -1}, "schedule.min_delta is -1; it must be at least 0."),
        ("InverseSqrt", {"warmup_steps": 0}, "schedule.warmup_steps is 0; it must be at least 1."),
        ("InverseSqrt", {"width": 0}, "schedule.width is 0; it must be above 0."),
    ],
)
def test_what_cannot_be_is_refused(kind, change, sentence):
    with pytest.raises(UserError) as caught:
        getattr(optimization, kind)(**change)
    assert str(caught.value) == sentence


def test_values_need_no_tensorflow():
    program = "import sys, training.optimization; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
