"""Games: decided by a seed and the actions, and the same again from both."""

import json

import numpy as np
import PIL.Image
import pytest

from training.data import beginning, gymnasium
from training.data.table import Table, states

GAMES = ["CartPole-v1", "MinAtar/Breakout-v1", "ALE/Breakout-v5"]


def played(table, steps, seed=0):
    """What so many steps by chance show; games that are over begin again."""
    rng, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        moment, _ = table.step(rng.integers(0, len(table.game.actions), table.game.count, np.int32))
        seen.append((moment.frames.copy(), moment.rewards, moment.terminated, moment.truncated))
        over = np.flatnonzero(moment.terminated | moment.truncated)
        if len(over):
            table.begin(over)
    return seen


def same(one, two):
    return all(
        np.array_equal(a, b)
        for x, y in zip(one, two, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def begun(name, seed=0):
    table = Table(gymnasium.make(name, 3), seed)
    table.begin(np.arange(3))
    return table


@pytest.mark.parametrize("name", GAMES)
def test_a_seed_and_the_actions_decide_a_game(name):
    one, again, other = (played(begun(name, seed), 60) for seed in (0, 0, 1))
    assert same(one, again) and not same(one, other)


@pytest.mark.parametrize("name", GAMES)
def test_games_go_on_from_what_is_kept_of_them(name):
    """The copies are at different moves of their games; 45 steps bring CartPole's past some."""
    table = begun(name)
    played(table, 45)
    state = {key: value.copy() for key, value in table.state.items()}
    other = Table(gymnasium.make(name, 3), 0)
    other.restore(**state)
    assert np.array_equal(table.frames, other.frames)
    assert np.array_equal(table.scores, other.scores)
    assert same(played(table, 30, seed=1), played(other, 30, seed=1))


def test_atari_is_shown_as_the_paper_shows_it():
    game = gymnasium.make("ALE/Breakout-v5", 2)
    assert (game.stack, game.frame, game.kind) == (4, (84, 84), np.uint8)
    assert game.actions == ("noop", "fire", "right", "left")
    frames = game.begin(np.arange(2), np.array([1, 2]))
    assert frames.shape == (2, 4, 84, 84) and frames[:, -1].max() > 0
    assert states(frames).shape == (2, 84, 84, 4)
    moment = game.step(np.array([1, 0], np.int32))
    assert moment.frames.shape == (2, 84, 84) and moment.lives.tolist() == [5, 5]


def test_the_screen_in_colours_shows_the_game_that_is_played():
    """Its brightness in 84 x 84 is the newest frame, but for the maximum over two frames."""
    table = Table(gymnasium.make("ALE/Breakout-v5", 2, seen=True), 0)
    table.begin(np.arange(2))
    played(table, 120)
    picture = table.game.picture()
    assert picture.shape == (210, 160, 3) and picture.dtype == np.uint8
    grey = PIL.Image.fromarray(picture).convert("L").resize((84, 84), PIL.Image.Resampling.BILINEAR)
    apart = [np.abs(np.asarray(grey, int) - frame).mean() for frame in table.frames[:, -1]]
    assert apart[0] < 5 and apart[0] < apart[1]


def test_a_pole_that_stands_500_steps_is_cut_off_and_one_that_falls_ends():
    game = gymnasium.make("CartPole-v1", 1)
    game.begin(np.arange(1), np.array([0]))
    for _ in range(200):
        moment = game.step(np.array([1], np.int32))
        if moment.terminated[0]:
            break
    assert moment.terminated[0] and not moment.truncated[0]
    frames = game.begin(np.arange(1), np.array([0]))[:, 0]
    for step in range(500):
        lean = frames[0, 2] + 0.3 * frames[0, 3] + 0.02 * frames[0, 0] + 0.06 * frames[0, 1]
        moment = game.step(np.array([lean > 0], np.int32))
        frames = moment.frames
        assert not moment.terminated[0], step
    assert moment.truncated[0]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("CartPol-v1", "There is no environment 'CartPol-v1'. Did you mean CartPole-v1?"),
        ("Pendulum-v1", "Pendulum-v1 has the actions Box(-2.0, 2.0, (1,), float32); a Q-network"),
        ("FrozenLake-v1", "FrozenLake-v1 shows Discrete(16); a Q-network sees numbers or pixels."),
        ("ALE/Brakout-v5", "Did you mean ALE/Breakout-v5?"),
        ("MinAtar/Brakout-v1", "Did you mean MinAtar/Breakout-v1?"),
    ],
)
def test_what_cannot_be_played_is_refused_with_a_sentence(name, sentence):
    with pytest.raises(ValueError) as caught:
        gymnasium.make(name, 1)
    assert sentence in str(caught.value)


def test_a_rom_that_is_missing_or_damaged_is_named(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="The ROM of ALE/Breakout-v5 cannot be read; .*No such"):
        gymnasium.make("ALE/Breakout-v5", 1)
    (tmp_path / "breakout.bin").write_bytes(b"no game")
    with pytest.raises(ValueError, match="ALE_ROMS_DIR names another folder: .*does not match"):
        gymnasium.make("ALE/Breakout-v5", 1)
    assert capfd.readouterr().out == ""


def test_the_beginning_of_a_game_is_printed_for_the_client(capsys):
    for name, shape in (("ALE/Breakout-v5", (1, 84, 84, 4)), ("CartPole-v1", (1, 4))):
        assert beginning.main([name, "--seed=1"]) == 0
        out = capsys.readouterr().out
        table = Table(gymnasium.make(name, 1), 1)
        assert np.array_equal(json.loads(out), states(table.begin(np.zeros(1, int))))
        assert np.shape(json.loads(out)) == shape
        assert len(out) < 128 * 1024, "Linux takes no longer word in a command"
    assert beginning.main(["CartPol-v1"]) == 2
    assert "Did you mean CartPole-v1?" in capsys.readouterr().err
