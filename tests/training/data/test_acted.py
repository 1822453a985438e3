"""Data made by acting: the same again from a snapshot, at any step."""

import dataclasses

import keras
import numpy as np
import pytest

from kmodels import dqn
from training import living
from training.acting import Acting
from training.data.acted import Acted
from training.data.labelled import Examples

ACTING = Acting(
    environment="CartPole-v1",
    environments=2,
    act_steps=12,
    updates=5,
    start=40,
    capacity=200,
    epsilon_steps=100,
)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return dqn.build(dqn.PRESETS["tiny"])


def followed(model, seed=0, **changes):
    data = Acted(dataclasses.replace(ACTING, **changes))
    data.told = []
    data.follow(model, seed=seed, batch_size=4, errors=lambda: heard(data))
    data.iterator = iter(data.batches("train", 4, seed=0))
    return data


def heard(data):
    told, data.told = data.told, []
    return told


def taken(data, first, count):
    """Batches of so many steps, as the loop takes them, all from one iterator.

    Where they have places, each is told to have an error that its state and step decide.
    """
    batches, found, done = data.iterator, [], 0
    while done < count:
        some = data.ready(first + done, count - done)
        for i in range(some):
            found.append({k: v.numpy() for k, v in next(batches).items()})
            if "place" in found[-1]:
                errors = np.abs(found[-1]["state"][:, 0]) * (1 + (first + done + i) % 7)
                data.told.append(np.stack([found[-1]["place"], errors], axis=1))
        done += some
    return found


def same(one, two):
    assert len(one) == len(two)
    return all(np.array_equal(a[k], b[k]) for a, b in zip(one, two, strict=True) for k in a)


@pytest.mark.parametrize("priority", [0.0, 0.6])
@pytest.mark.parametrize("step", [5, 7, 23])
def test_from_a_snapshot_the_same_is_done_and_drawn(model, step, priority):
    """The 200 frames are written over; a snapshot may fall into the middle of a round."""
    data = followed(model, priority=priority)
    taken(data, 0, step)
    kept = {name: value.copy() for name, value in data.snapshot().items()}
    wanted = taken(data, step, 40)
    other = followed(model, priority=priority)
    other.restore(kept)
    assert same(taken(other, step, 40), wanted)
    assert other.facts() == data.facts()


def test_what_an_update_finds_counts_from_the_next_round_on(model):
    """Of all steps one has an error; it is drawn by most rows of the next round, not of this."""
    data = followed(model, priority=1.0)
    batches = [next(data.iterator) for _ in range(data.ready(0, 5))]
    places = np.concatenate([b["place"] for b in batches])
    assert len(np.unique(places)) > 10
    everything = np.flatnonzero(data.replay.weights)
    data.told = [np.stack([everything, 1e3 * (everything == places[0])], axis=1)]
    batches = [next(data.iterator) for _ in range(data.ready(5, 5))]
    places = np.concatenate([b["place"] for b in batches])
    fresh = np.flatnonzero(data.replay.weights.ravel() == data.replay.highest[0])
    assert len(fresh) == 13 and set(places) <= set(fresh), "that one, and twelve new steps"


def test_importance_makes_up_for_priority_more_and_more(model):
    data = followed(model, priority=1.0, importance=0.5, importance_updates=10)
    first = taken(data, 0, 5)
    assert all((b["importance"] == 1).all() for b in first), "all priorities are alike yet"
    for update, batch in enumerate(taken(data, 5, 5)):
        weights = data.replay.weights.ravel()[batch["place"]]
        beta = 0.5 + 0.5 * (5 + update) / 10
        wanted = (weights / weights.min()) ** -beta
        np.testing.assert_allclose(batch["importance"], wanted, rtol=1e-5)
    assert [ACTING.importance_at(n) for n in (0, 10**6, 10**7)] == [0.4, 1.0, 1.0]


def test_a_round_acts_once_and_is_not_exceeded(model):
    data = followed(model)
    assert data.ready(0, 100) == 5 and data.taken == 40 + 12
    assert data.ready(3, 100) == 2 and data.taken == 40 + 12, "the same round"
    assert data.ready(3, 1) == 1
    assert data.ready(5, 100) == 5 and data.taken == 40 + 24


def test_a_seed_decides_what_is_played(model):
    one, again, other = (taken(followed(model, seed), 0, 10) for seed in (0, 0, 1))
    assert same(one, again) and not same(one, other)


def test_chance_falls_on_a_line_after_the_start():
    told = [ACTING.epsilon_at(step) for step in (0, 40, 90, 140, 9999)]
    assert told == pytest.approx([1.0, 1.0, 0.55, 0.1, 0.1])


def test_rewards_are_learnt_from_by_their_sign(model):
    batch = taken(followed(model, clip_rewards=True), 0, 1)[0]
    assert set(batch["reward"].tolist()) == {1.0}


def test_held_out_steps_are_the_same_whatever_was_learnt(model):
    one, two = (next(iter(d.batches("eval", 8, seed=s))) for d, s in
                ((Acted(ACTING), 0), (followed(model, 3), 1)))  # fmt: skip
    assert all(np.array_equal(one[k], two[k]) for k in one)


def test_what_is_no_step_of_a_run_is_refused(model):
    with pytest.raises(ValueError, match="There is no split 'test'"):
        Acted(ACTING).batches("test", 4, seed=0)
    with pytest.raises(ValueError, match="it lacks"):
        followed(model).restore({"taken": np.zeros(1)})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"environments": 0}, "acting.environments is 0; it must be at least 1"),
        ({"epsilon": 1.5}, "acting.epsilon is 1.5; it must lie in"),
        ({"act_steps": 13}, "acting.act_steps is 13; it must be a multiple of environments, 2"),
        ({"capacity": 3}, "acting.capacity is 3; it must be at least 32"),
    ],
)
def test_acting_that_cannot_be_is_refused_with_a_sentence(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(ACTING, **changes)


def test_data_that_were_there_before_have_batches_for_all_steps_and_no_state():
    given = living.of(object())
    assert given.ready(3, 17) == 17 and not given.snapshot() and not given.facts()
    given.restore({})
    with pytest.raises(ValueError, match="these data have no state"):
        given.restore({"taken": np.zeros(1)})
    assert not isinstance(Examples, living.Living)
    assert isinstance(Acted(ACTING), living.Living), "also before it follows a model"
