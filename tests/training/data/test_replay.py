"""The replay against one that keeps every state whole."""

import numpy as np
import pytest

from training.data.replay import Replay

COPIES, STACK, FRAME = 2, 3, (2, 2)


def filled(capacity, steps=200, seed=0):
    """A replay, and all steps that were put into it, whole, by copy and number of entry."""
    rng = np.random.default_rng(seed)
    replay = Replay(COPIES, capacity, stack=STACK, frame=FRAME, kind=np.uint8)
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


@pytest.mark.parametrize("capacity", [64, 2000])
def test_what_is_drawn_are_the_steps_that_were_made(capacity):
    replay, whole = filled(capacity)
    copies, entries = replay.draw(500, np.random.default_rng(1))
    batch = replay.steps(copies, entries)
    for i, key in enumerate(zip(copies.tolist(), entries.tolist(), strict=True)):
        state, action, reward, after, done = whole[key]
        assert np.array_equal(batch["state"][i], state)
        assert np.array_equal(batch["next_state"][i], after)
        assert (batch["action"][i], batch["done"][i]) == (action, done)
        assert batch["reward"][i] == np.float32(reward)


@pytest.mark.parametrize("capacity", [64, 2000])
def test_every_step_that_is_kept_whole_is_as_likely_as_any_other(capacity):
    replay, whole = filled(capacity)
    kept = {
        (copy, entry)
        for copy, entry in whole
        if entry - STACK + 1 >= replay.written[copy] - replay.size
    }
    count = 200 * len(kept)
    drawn = replay.draw(count, np.random.default_rng(2))
    keys, often = np.unique(np.stack(drawn), axis=1, return_counts=True)
    assert {tuple(key) for key in keys.T.tolist()} == kept
    assert np.abs(often / 200 - 1).max() < 0.35, "five deviations of a count of 200"


def test_a_million_frames_take_seven_gigabytes():
    replay = Replay(1, 1000, stack=4, frame=(84, 84), kind=np.uint8)
    size = sum(getattr(replay, n).nbytes for n in ("frames", "action", "reward", "done", "begins"))
    assert 7.05e6 < size < 7.08e6, "of a thousand"


def test_a_restored_replay_draws_the_same():
    replay, _ = filled(64)
    state = {name: value.copy() for name, value in replay.state.items()}
    other = Replay(COPIES, 64, stack=STACK, frame=FRAME, kind=np.uint8)
    other.restore(state)
    one, two = (r.steps(*r.draw(50, np.random.default_rng(3))) for r in (replay, other))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_the_state_of_another_replay_is_refused_and_nothing_is_set():
    replay, _ = filled(64)
    other = Replay(COPIES, 16, stack=STACK, frame=FRAME, kind=np.uint8)
    with pytest.raises(ValueError, match=r"its frames are \(2, 32, 2, 2\)"):
        other.restore(replay.state)
    assert not other.written.any()
