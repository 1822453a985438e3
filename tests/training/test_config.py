"""A run as a value: checked when made, written as JSON, compared with another."""

import dataclasses
import json
import pathlib

import pytest

from training import config


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
