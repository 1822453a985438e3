"""Flags with lists and ranges, and the trials they make."""

import math

import pytest

from training import trials
from training.config import UserError


def names(planned):
    return [trial.name for trial in planned]


def test_flags_keep_their_words():
    argv = ["--steps", "40", "--config.head_width=8,4", "--dry-run", "--sizes", "1", "2"]
    assert trials.flags_of(argv) == {
        "steps": ("40",), "config.head-width": ("8,4",), "dry-run": (), "sizes": ("1", "2"),
    }  # fmt: skip


def test_a_grid_is_every_combination():
    flags = trials.flags_of(
        ["--model=gpt", "--a.rate=1,2", "--steps=5", "--b=x,y", "--sizes", "1", "2"]
    )
    planned = trials.grid(flags)
    assert names(planned) == ["rate=1,b=x", "rate=1,b=y", "rate=2,b=x", "rate=2,b=y"]
    assert planned[1].argv == (
        "--model=gpt", "--a.rate=1", "--steps=5", "--b=y", "--sizes", "1", "2",
    )  # fmt: skip
    assert planned[1].values == {"a.rate": "1", "b": "y"}


def test_names_stay_apart():
    assert names(trials.grid({"a.rate": ("1,1,2",), "b.rate": ("3",)})) == ["rate=1", "rate=2"]
    assert names(trials.grid({"a.rate": ("1,2",), "b.rate": ("3,4",)}))[0] == "a.rate=1,b.rate=3"
    paths = names(trials.grid({"data-dir": ("a/b,a-b",)}))
    assert len(set(paths)) == 2 and not any("/" in name for name in paths)
    assert max(map(len, names(trials.grid({"x": ("y" * 300 + ",z",)})))) <= trials.LONGEST_NAME


def test_draws_lie_in_their_ranges_and_follow_from_the_seed():
    flags = {
        "rate": ("log-uniform:1e-4:1e-2",), "drop": ("uniform:-1:1.0",), "depth": ("uniform:1:3",),
        "heads": ("log-uniform:1:8",), "kind": ("a,b",),
    }  # fmt: skip
    planned = trials.draws(flags, count=200, seed=0)
    assert len({trial.name for trial in planned}) == 200
    columns = {flag: [trial.values[flag] for trial in planned] for flag in flags}
    rates = [float(value) for value in columns["rate"]]
    assert min(rates) >= 1e-4 and max(rates) <= 1e-2
    assert 70 < sum(rate < 1e-3 for rate in rates) < 130, "even in the logarithm"
    assert 70 < sum(float(value) < 0 for value in columns["drop"]) < 130
    assert set(columns["depth"]) == {"1", "2", "3"} and set(columns["kind"]) == {"a", "b"}
    assert set(columns["heads"]) == {str(n) for n in range(1, 9)}
    assert trials.draws(flags, count=200, seed=0) == planned
    assert trials.draws(flags, count=300, seed=0)[:200] == planned, "more trials go on"
    assert trials.draws(flags, count=1, seed=1) != planned[:1]


def test_lists_have_only_so_many_draws():
    assert sorted(names(trials.draws({"a": ("1,2",)}, count=10, seed=0))) == ["a=1", "a=2"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("uniform:1", "write uniform:LOW:HIGH with two numbers, the lower one first."),
        ("uniform:1:2:3", "is no range"),
        ("uniform:2:1", "the lower one first"),
        ("uniform:a:b", "with two numbers"),
        ("uniform:0:inf", "is no range"),
        ("log-uniform:0:1", "with two numbers above 0"),
        ("1,,2", "has an empty value"),
    ],
)
def test_values_that_cannot_be_are_refused(text, sentence):
    with pytest.raises(UserError) as caught:
        trials.draws({"rate": (text,)}, count=2, seed=0)
    assert f"--rate={text}" in str(caught.value) and sentence in str(caught.value)


def test_a_range_is_no_grid():
    with pytest.raises(UserError, match="give --sweep.kind=random, or values as A,B,C"):
        trials.grid({"rate": ("uniform:0:1",)})


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [(["model"], "'model' is no flag"), (["--a=1", "--a", "2"], "--a comes twice")],
)
def test_words_that_are_no_flags_are_refused(argv, sentence):
    with pytest.raises(UserError, match=sentence):
        trials.flags_of(argv)


def test_whole_numbers_are_drawn_evenly():
    draws = trials.draws({"a": ("uniform:0:1",), "b": ("uniform:0:1.0",)}, count=400, seed=3)
    ones = sum(trial.values["a"] == "1" for trial in draws)
    assert abs(ones - 200) < 5 * math.sqrt(100)
