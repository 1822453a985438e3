"""A run as a value: checked when made, written as JSON, compared with another."""

import dataclasses
import json
import pathlib
from typing import Literal

import pytest

from kmodels import gpt
from training import config, optimization


def test_equal_runs_give_equal_json_that_reads_back(make_run):
    one, other = make_run(), make_run()
    assert config.to_json(one) == config.to_json(other)
    stored = json.loads(config.to_json(one))
    assert stored["config"]["width"] == 4 and stored["recipe"]["optimizer"]["clip_norm"] == 1.0
    assert config.differences(stored, other) == []


def test_differences_name_the_field_and_both_values(make_run):
    stored = json.loads(config.to_json(make_run()))
    now = make_run(batch_size=16, seed=3)
    assert config.differences(stored, now) == [
        "recipe.batch_size is 4 there and 16 here",
        "seed is 0 there and 3 here",
    ]


def test_a_folder_may_move(make_run, tmp_path):
    stored = json.loads(config.to_json(make_run()))
    moved = make_run(run_dir=tmp_path / "b", export_dir=tmp_path / "c", data_dir=tmp_path)
    assert config.differences(stored, moved) == []


def test_whose_schedule_it_is_says_nothing_of_the_result(make_run):
    stored = json.loads(config.to_json(make_run()))
    assert stored["recipe"]["origin"] == "own"
    assert config.differences(stored, make_run(origin="paper")) == []


def test_a_field_that_one_side_lacks_is_a_difference(make_run):
    stored = json.loads(config.to_json(make_run()))
    del stored["config"]["band"]
    stored["recipe"]["old_field"] = 1
    stored["config"]["dropout"] = 0.25
    assert config.differences(stored, make_run()) == [
        "config.dropout is 0.25 there and 0.0 here",
        "recipe.old_field is 1 there and None here",
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1."),
        ({"steps": -1}, "steps is -1; it must be at least 1."),
        ({"micro_batches": 0}, "micro_batches is 0; it must be at least 1."),
        ({"eval_batches": 0}, "eval_batches is 0; it must be at least 1."),
        ({"log_every": 0}, "log_every is 0; it must be at least 1."),
        ({"eval_every": 3}, "eval_every is 3; it must be a multiple of log_every, 2."),
        ({"save_every": 0}, "save_every is 0; it must be a multiple of log_every, 2."),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0; it must be at least 0 and below 1."),
        ({"mixup": -0.1}, "mixup is -0.1; it must be at least 0 and finite."),
        ({"label_share": 0.0}, "label_share is 0.0; it must be above 0 and at most 1."),
        ({"label_share": 1.5}, "label_share is 1.5; it must be above 0 and at most 1."),
        (
            {"label_share": 0.1},
            "label_share is 0.1; it must be left out where the objective is next_token: there are "
            "no classes.",
        ),
        (
            {"randaugment": (2, 11)},
            "randaugment is (2, 11); it must be a count from 1, a magnitude from 0 to 10.",
        ),
        (
            {"learner": "adversarial"},
            "discriminator_optimizer is None; it must be given where the learner is adversarial.",
        ),
        (
            {"discriminator_optimizer": optimization.SGD()},
            "discriminator_optimizer is sgd; it must be left out where the learner is gradient.",
        ),
        (
            {"mixup": 0.2},
            "mixup is 0.2; it must be left out where the objective is next_token: there are no "
            "classes.",
        ),
        (
            {"colour_strength": -1.0},
            "colour_strength is -1.0; it must be at least 0 and finite.",
        ),
        (
            {"colour_strength": 0.5},
            "colour_strength is 0.5; it must be left out where the objective is next_token: it "
            "compares no views.",
        ),
    ],
)
def test_a_recipe_checks_its_numbers(make_run, change, sentence):
    with pytest.raises(config.UserError) as caught:
        make_run(**change)
    assert str(caught.value) == sentence


def test_values_are_frozen(make_run):
    run = make_run()
    for value, field in ((run, "seed"), (run.recipe, "steps"), (run.recipe.optimizer, "beta_1")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, 1)
    assert isinstance(run.run_dir, pathlib.Path)


def types_of(model):
    return {
        "config": gpt.Config,
        "recipe.optimizer": optimization.Optimizer,
        "recipe.discriminator_optimizer": optimization.Optimizer | None,
        "recipe.schedule": optimization.Schedule,
    }


def test_a_run_is_read_back_from_its_json(make_run):
    run = make_run(data_dir=pathlib.Path("text.txt"), replicas=2, clip_norm=None)
    again = config.from_json(config.to_json(run), types_of)
    assert again == run and isinstance(again.data_dir, pathlib.Path)


def test_a_run_of_two_optimizers_is_read_back_too(make_run):
    second = optimization.SGD(momentum=0.5)
    run = make_run(learner="adversarial", discriminator_optimizer=second, critic_steps=2)
    assert config.from_json(config.to_json(run), types_of) == run


@pytest.mark.parametrize("text", ["{", "[]", "3", "{}"])
def test_what_is_no_run_at_all_is_no_run(text):
    with pytest.raises(ValueError):
        config.from_json(text, types_of)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    kind: Literal["round"] = "round"
    radius: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Square:
    kind: Literal["square"] = "square"
    sides: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
    shape: Round | Square | None
    size: tuple[int, str] = (1, "m")
    scale: int | str = 1


@pytest.mark.parametrize(
    "drawing",
    [
        Drawing(shape=Round(radius=2.0)),
        Drawing(shape=Square(sides=(1.0, 2.0)), scale="large"),
        Drawing(shape=None, size=(3, "cm")),
    ],
)
def test_classes_are_told_apart_by_their_kind(drawing):
    stored = json.loads(json.dumps(dataclasses.asdict(drawing)))
    assert config._value(Drawing, stored, "drawing", {}) == drawing


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"shape": {"kind": "oval"}}, "drawing.shape.kind is 'oval'; allowed: round, square."),
        ({"shape": {"radius": 1.0}}, "drawing.shape.kind is None; allowed: round, square."),
        ({"shape": {"kind": "round"}}, "drawing.shape.radius is missing."),
        ({"shape": {"kind": "round", "radius": "1"}}, "drawing.shape.radius is '1'; allowed: floa"),
        ({"shape": {"kind": "round", "radius": True}}, "drawing.shape.radius is True; allowed: fl"),
        ({"size": [1]}, "drawing.size is [1]; allowed: tuple[int, str]."),
        ({"size": 3}, "drawing.size is 3; allowed: tuple[int, str]."),
    ],
)
def test_reading_is_strict(change, sentence):
    stored = json.loads(json.dumps(dataclasses.asdict(Drawing(shape=None))))
    with pytest.raises(config.UserError) as caught:
        config._value(Drawing, {**stored, **change}, "drawing", {})
    assert sentence in str(caught.value)
