"""Token windows: every window once per epoch, and a position that only the step decides."""

import dataclasses
import os
import pathlib

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from training.data import text
from training.data.windows import TokenWindows, split


def windows(train: int = 50, held_out: int = 30, context: int = 8) -> TokenWindows:
    """Streams whose tokens are their own positions."""
    return TokenWindows(
        train=np.arange(train, dtype=np.int32),
        eval=1000 + np.arange(held_out, dtype=np.int32),
        context=context,
    )


def starts(source: TokenWindows, name: str, steps: int, size: int, **options: int) -> np.ndarray:
    """The first token of each window, [steps, size]."""
    batches = source.batches(name, size, **{"seed": 0} | options).take(steps)
    return np.stack([batch["tokens"][:, 0] for batch in batches.as_numpy_iterator()])


def test_split_takes_nine_tenths_by_characters():
    assert split("0123456789") == ("012345678", "9")
    assert split("") == ("", "")


@pytest.mark.skipif("KMODELS_DATA" not in os.environ, reason="KMODELS_DATA names no folder")
def test_tiny_shakespeare_has_its_published_sizes():
    whole = text.read(pathlib.Path(os.environ["KMODELS_DATA"]) / "text" / "tinyshakespeare.txt")
    assert (len(whole), len(set(whole))) == (1_115_394, 65)
    assert [len(part) for part in split(whole)] == [1_003_854, 111_540]


def test_batches_have_fixed_shapes_and_targets_one_place_later():
    dataset = windows().batches("train", 4, seed=1)
    for spec in dataset.element_spec.values():
        assert (spec.shape, spec.dtype.name) == ((4, 8), "int32")
    batch = next(dataset.as_numpy_iterator())
    assert set(batch) == {"tokens", "targets"}
    assert (batch["targets"] == batch["tokens"] + 1).all()
    assert (np.diff(batch["tokens"]) == 1).all()


@pytest.mark.parametrize(("name", "first", "count"), [("train", 0, 42), ("eval", 1000, 22)])
def test_every_window_comes_once_per_epoch_in_a_new_order(name, first, count):
    drawn = starts(windows(), name, 3 * count, 1)[:, 0].reshape(3, count)
    assert (np.sort(drawn) == first + np.arange(count)).all()
    assert len({tuple(epoch) for epoch in drawn}) == 3


@hypothesis.settings(deadline=None, max_examples=10)
@hypothesis.given(start=st.integers(0, 300), size=st.integers(1, 9))
def test_a_start_gives_what_a_fresh_run_has_at_that_step(start, size):
    fresh = starts(windows(), "train", start + 3, size, seed=5)
    assert (starts(windows(), "train", 3, size, seed=5, start=start) == fresh[start:]).all()


def test_a_start_far_away_costs_nothing():
    assert starts(windows(), "train", 2, 12, start=10**12).shape == (2, 12)


def test_the_batch_size_does_not_change_the_order():
    assert (
        starts(windows(), "train", 6, 10).ravel() == starts(windows(), "train", 60, 1).ravel()
    ).all()


def test_the_seed_orders_training_but_not_evaluation():
    source = windows()
    assert (starts(source, "train", 9, 4, seed=1) != starts(source, "train", 9, 4, seed=2)).any()
    assert (starts(source, "eval", 9, 4, seed=1) == starts(source, "eval", 9, 4, seed=2)).all()
    assert (starts(source, "train", 9, 4, seed=-1) == starts(source, "train", 9, 4, seed=-1)).all()


def test_splits_of_one_length_have_orders_of_their_own():
    same = TokenWindows(train=np.arange(99), eval=np.arange(99), context=4)
    assert (starts(same, "train", 9, 4) != starts(same, "eval", 9, 4)).any()


def test_the_order_looks_random():
    drawn = starts(windows(train=10_000), "train", 100, 90).ravel().astype(float)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.05
    assert abs(drawn[:1000].mean() - 5000) < 500


def test_a_batch_larger_than_an_epoch_repeats_windows():
    drawn = starts(windows(train=12), "train", 1, 10)[0]  # 4 windows
    assert sorted(drawn[:4]) == sorted(drawn[4:8]) == [0, 1, 2, 3]


def test_the_shortest_text_has_one_window():
    assert (starts(windows(train=9), "train", 3, 2) == 0).all()


def test_large_batches_come_one_at_a_time():
    assert starts(windows(train=3000, held_out=1001, context=1000), "train", 2, 300).shape == (
        2,
        300,
    )


@pytest.mark.parametrize(("change", "name"), [({"train": 8}, "train"), ({"held_out": 8}, "eval")])
def test_a_context_longer_than_the_text_says_what_to_change(change, name):
    with pytest.raises(ValueError) as caught:
        windows(**change)
    assert str(caught.value) == (
        f"The context of 8 tokens is longer than the text: its {name} split has 8 tokens and "
        "needs 9. Lower --config.context or give more text."
    )


def test_a_context_of_nothing_is_refused():
    with pytest.raises(ValueError, match="context is 0"):
        windows(context=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "test"}, "no split 'test'. Allowed: 'train', 'eval'"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"start": -1}, "start is step -1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        windows().batches(**{"split": "train", "batch_size": 1, "seed": 0} | arguments)


def test_windows_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        windows().context = 3
