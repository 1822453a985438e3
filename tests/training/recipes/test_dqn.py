"""The recipe of deep Q-networks: the paper's numbers, and what it refuses."""

import dataclasses
import json
import subprocess

import numpy as np
import pytest

from kmodels import dqn
from training import run
from training.config import UserError
from training.data.acted import Acted
from training.evaluators import games
from training.optimization import RMSprop
from training.policy import Policy
from training.recipes import dqn as recipes


def test_the_paper_is_extended_data_table_1():
    made = recipes.paper(dqn.PRESETS["nature"])
    acting = made.acting
    assert made.optimizer == RMSprop(
        learning_rate=2.5e-4, rho=0.95, epsilon=0.01, centered=True, momentum=0.0
    )
    assert (made.batch_size, acting.capacity, acting.start) == (32, 1_000_000, 50_000)
    assert (acting.act_steps, acting.updates, acting.target_every) == (4, 1, 10_000)
    assert (acting.epsilon, acting.final_epsilon, acting.epsilon_steps) == (1.0, 0.1, 1_000_000)
    assert (acting.eval_episodes, acting.eval_epsilon, acting.discount) == (30, 0.05, 0.99)
    assert 4 * acting.steps_at(made.steps) == 50_000_000, "frames"


def test_cartpole_has_at_most_50_000_agent_steps():
    made = recipes.recipe(dqn.PRESETS["mlp"])
    assert made.acting.steps_at(made.steps - 1) + made.acting.act_steps <= 50_000


def test_breakout_on_a_cpu_has_200_000_agent_steps_and_is_not_called_the_papers():
    made = recipes.recipe(dqn.PRESETS["nature"])
    assert made.acting.steps_at(made.steps) >= 200_000 and made.origin == "cpu"


def changed(preset, **acting):
    config = dqn.PRESETS[preset]
    made = recipes.recipe(config)
    return config, dataclasses.replace(made, acting=dataclasses.replace(made.acting, **acting))


@pytest.mark.parametrize(
    ("preset", "environment", "sentence"),
    [
        ("mlp", "CartPol-v1", "Did you mean CartPole-v1?"),
        ("mlp", "Pendulum-v1", "has the actions Box"),
        ("nature", "ALE/Brakout-v5", "Did you mean ALE/Breakout-v5?"),
        ("mlp", "Acrobot-v1", "config.observation is (4,); give --config.observation=6"),
        ("nature", "ALE/Pong-v5", "config.actions is 4; give --config.actions=6"),
    ],
)
def test_a_game_that_does_not_fit_is_refused_with_a_sentence(preset, environment, sentence):
    with pytest.raises(UserError) as caught:
        recipes.prepare(*changed(preset, environment=environment), None)
    assert sentence in str(caught.value)


def test_a_folder_and_other_data_are_refused(tmp_path):
    with pytest.raises(UserError, match="learns from what it plays"):
        recipes.prepare(*changed("mlp"), tmp_path)
    config, made = changed("mlp")
    with pytest.raises(UserError, match="There is no data for this paper 'docs'"):
        recipes.prepare(config, dataclasses.replace(made, data="docs"), None)


def test_acting_and_q_learning_belong_together():
    _, made = changed("mlp")
    with pytest.raises(UserError, match="it must be given where the learner is q_learning"):
        dataclasses.replace(made, acting=None)
    with pytest.raises(UserError, match="it must be left out where the learner is gradient"):
        dataclasses.replace(made, learner="gradient")


def test_actions_are_those_of_the_environment():
    prepared = recipes.prepare(*changed("nature"), None)
    assert prepared.codec.labels == ("noop", "fire", "right", "left")
    assert isinstance(prepared.data, Acted)


def test_whole_games_are_played_and_the_same_again():
    _, made = changed("mlp")
    policy = Policy(dqn.build(dqn.PRESETS["tiny"]))
    policy.refresh()
    one, again = (games.play(policy, made.acting, episodes=20, epsilon=1.0) for _ in range(2))
    assert one.returns.tolist() == again.returns.tolist() == one.lengths.tolist()
    assert 15 < one.returns.mean() < 30, "chance holds a pole for some 22 steps"


def test_a_policy_says_what_its_network_says():
    for preset in ("mlp", "minatar"):
        config = dqn.PRESETS[preset]
        model = dqn.build(config)
        policy = Policy(model)
        policy.refresh()
        rng = np.random.default_rng(0)
        states = rng.integers(0, 2, (5, *config.observation))
        states = states.astype(np.uint8 if config.pixels else np.float32)
        np.testing.assert_allclose(policy.worths(states), model(states), atol=1e-5)
        chances, others = np.array([0.0, 0.1, 0.2, 0.3, 0.4]), np.full(5, -1, np.int32)
        acted = policy.act(states, chances, others, 0.25)
        assert acted.tolist() == [-1, -1, -1, *np.argmax(model(states), -1)[3:]]


@pytest.mark.parametrize("preset", dqn.PRESETS)
def test_every_preset_fits_what_it_plays(preset):
    config = dqn.PRESETS[preset]
    for profile in recipes.PROFILES.values():
        prepared = recipes.prepare(config, profile(config), None)
        assert len(prepared.codec.labels) == config.actions


def test_priorities_are_those_of_schaul():
    config = dqn.PRESETS["nature"]
    plain, made = recipes.paper(config), recipes.prioritized(config)
    acting = made.acting
    assert (acting.priority, acting.importance, acting.double) == (0.6, 0.4, True)
    assert acting.importance_at(made.steps) == 1 and plain.acting.priority == 0
    assert made.optimizer.learning_rate == plain.optimizer.learning_rate / 4
    assert made.origin == "own"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--acting.environment=CartPol-v1"], "Did you mean CartPole-v1?"),
        (["--acting.environment=Pendulum-v1"], "a Q-network needs a few to choose from"),
        (["--preset=nature", "--acting.environment=ALE/Pong-v5"], "give --config.actions=6"),
    ],
)
def test_a_game_that_cannot_be_played_ends_the_command_with_status_2(
    words, sentence, tmp_path, capfd
):
    assert run.main(["--model=dqn", f"--run-dir={tmp_path / 'run'}", *words]) == 2
    assert sentence in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_rom_that_is_missing_ends_the_command_with_status_2(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    assert run.main(["--model=dqn", "--preset=nature", f"--run-dir={tmp_path / 'run'}"]) == 2
    assert "The ROM of ALE/Breakout-v5 cannot be read" in capfd.readouterr().err


def test_the_first_question_is_how_the_played_game_begins(tmp_path):
    acting = {"environment": "ALE/Breakout-v5"}
    (tmp_path / "card.json").write_text(json.dumps({"recipe": {"acting": acting}}))
    asked = recipes.ask(None, dqn.PRESETS["nature"], tmp_path)
    given = subprocess.run(["bash", "-c", f"echo {asked}"], capture_output=True, text=True)
    name, _, value = given.stdout.partition("=")
    assert (name, np.shape(json.loads(value))) == ("observations", (1, 84, 84, 4))
