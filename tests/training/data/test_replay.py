"""The replay against one that keeps every state whole."""

import numpy as np
import pytest

from training.data.replay import Replay

COPIES, STACK, FRAME = 2, 3, (2, 2)


def filled(capacity, steps=200, seed=0, alpha=0.0):
    """A replay, and all steps that were put into it, whole, by copy and number of entry."""
    rng = np.random.default_rng(seed)
    replay = Replay(COPIES, capacity, stack=STACK, frame=FRAME, kind=np.uint8, alpha=alpha)
    whole, now, number = {}, [None] * COPIES, np.zeros(COPIES, int)

    def begin(places):
        frames = rng.integers(0, 256, (len(places), STACK, *FRAME), np.uint8)
        replay.begin(places, frames)
        for place, own in zip(places, frames, strict=True):
            now[place] = np.moveaxis(own, 0, -1)
            number[place] += STACK

    begin(np.arange(COPIES))
    for _ in range(steps):
        actions, rewards = rng.integers(0, 4, COPIES, np.int32), rng.normal(size=COPIES)
        done, cut = rng.random(COPIES) < 0.1, rng.random(COPIES) < 0.1
        frames = rng.integers(0, 256, (COPIES, *FRAME), np.uint8)
        replay.add(actions, rewards, done, frames)
        for place in range(COPIES):
            after = np.concatenate([now[place][..., 1:], frames[place][..., None]], axis=-1)
            step = (now[place], actions[place], rewards[place], after, done[place])
            whole[place, number[place] - 1] = step
            now[place], number[place] = after, number[place] + 1
        over = np.flatnonzero(done | cut)
        if len(over):
            begin(over)
    return replay, whole


@pytest.mark.parametrize("alpha", [0.0, 0.6])
@pytest.mark.parametrize("capacity", [64, 2000])
def test_what_is_drawn_are_the_steps_that_were_made(capacity, alpha):
    replay, whole = filled(capacity, alpha=alpha)
    drawn = replay.draw(500, np.random.default_rng(1))
    batch = replay.steps(drawn)
    for i, key in enumerate(zip(drawn.copies.tolist(), drawn.entries.tolist(), strict=True)):
        state, action, reward, after, done = whole[key]
        assert np.array_equal(batch["state"][i], state)
        assert np.array_equal(batch["next_state"][i], after)
        assert (batch["action"][i], batch["done"][i]) == (action, done)
        assert batch["reward"][i] == np.float32(reward)


def kept_of(replay, whole):
    """Copies and entries of the steps all of whose frames are there."""
    oldest = replay.written - replay.size + STACK - 1
    return {(copy, entry) for copy, entry in whole if entry >= oldest[copy]}


@pytest.mark.parametrize("capacity", [64, 2000])
def test_every_step_that_is_kept_whole_is_as_likely_as_any_other(capacity):
    replay, whole = filled(capacity)
    kept = kept_of(replay, whole)
    count = 200 * len(kept)
    drawn = replay.draw(count, np.random.default_rng(2))
    found = np.stack([drawn.copies, drawn.entries])
    keys, often = np.unique(found, axis=1, return_counts=True)
    assert {tuple(key) for key in keys.T.tolist()} == kept
    assert np.abs(often / 200 - 1).max() < 0.35, "five deviations of a count of 200"


def test_a_million_frames_take_seven_gigabytes():
    replay = Replay(1, 1000, stack=4, frame=(84, 84), kind=np.uint8)
    size = sum(getattr(replay, n).nbytes for n in ("frames", "action", "reward", "done", "begins"))
    assert 7.05e6 < size < 7.08e6, "of a thousand"


@pytest.mark.parametrize("capacity", [64, 2000])
def test_steps_are_drawn_by_their_differences(capacity):
    """Equation 1, and the weights that make up for it (section 3.4), against a plain list."""
    alpha, rows = 0.6, 8
    replay, whole = filled(capacity, alpha=alpha)
    places = {c * replay.size + e % replay.size: (c, e) for c, e in kept_of(replay, whole)}
    assert set(np.flatnonzero(replay.weights)) == places.keys()
    rng = np.random.default_rng(1)
    chosen = rng.choice(sorted(places), len(places) // 2, replace=False)
    errors = rng.normal(0, 2, len(chosen))
    replay.learnt(chosen, errors)
    wanted = dict.fromkeys(places, 1.0)  # what was not learnt from yet is as large as the largest
    for place, error in zip(chosen.tolist(), errors.tolist(), strict=True):
        wanted[place] = (abs(error) + 1e-6) ** alpha
    total, count = sum(wanted.values()), rows * 5000
    drawn = replay.draw(count, np.random.default_rng(2), rows=rows)
    found = drawn.copies * replay.size + drawn.entries % replay.size
    for i in range(50):
        chance = wanted[int(found[i])] / total
        assert drawn.chances[i] == pytest.approx(chance * len(places))
        assert places[int(found[i])] == (drawn.copies[i], drawn.entries[i])
    often = np.bincount(found, minlength=replay.weights.size)
    for place, weight in wanted.items():
        mean = count * weight / total
        assert abs(often[place] - mean) < 5 * mean**0.5 + 1, place
    replay.add(
        np.zeros(COPIES, np.int32), np.zeros(COPIES), np.zeros(COPIES, bool), np.zeros(FRAME)
    )
    assert replay.weights.max() == replay.highest[0] == max(1.0, *wanted.values())
    assert (replay.weights == replay.highest[0]).sum() >= COPIES, "new steps"


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_a_restored_replay_draws_the_same(alpha):
    replay, _ = filled(64, alpha=alpha)
    if alpha:
        places = np.flatnonzero(replay.weights)[::2]
        replay.learnt(places, np.linspace(0, 9, len(places)))
    state = {name: value.copy() for name, value in replay.state.items()}
    other = Replay(COPIES, 64, stack=STACK, frame=FRAME, kind=np.uint8, alpha=alpha)
    other.restore(state)
    one, two = (r.steps(r.draw(50, np.random.default_rng(3), rows=10)) for r in (replay, other))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_the_state_of_another_replay_is_refused_and_nothing_is_set():
    replay, _ = filled(64)
    other = Replay(COPIES, 16, stack=STACK, frame=FRAME, kind=np.uint8)
    with pytest.raises(ValueError, match=r"its frames are \(2, 32, 2, 2\)"):
        other.restore(replay.state)
    assert not other.written.any()
