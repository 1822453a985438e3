"""Two networks in turn: who moves when, by which rate, and what is kept."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import gan
from tests.golden import generate as golden
from training import checkpoints, optimization
from training.learners import adversarial
from training.objectives.non_saturating import non_saturating
from training.recipes import gan as recipes

CONFIG = golden.config_of(gan)


def learner_of(**changes):
    return golden.learner_of("gan", CONFIG, **changes)


def batch(rows=8, *, seed=0):
    """Random pictures."""
    rng = np.random.default_rng(seed)
    return {"image": tf.constant(rng.uniform(0, 1, (rows, 4, 4, 1)), tf.float32)}


def numpy(variables):
    return [v.numpy() for v in variables]


def moved(network, before):
    return [
        not np.array_equal(a, b)
        for a, b in zip(before, numpy(network.trainable_variables), strict=True)
    ]


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_only_the_player_whose_turn_it_is_moves(player, compile):
    learner = learner_of(compile=compile)
    other = {"generator": "discriminator", "discriminator": "generator"}[player]
    before = {n: numpy(getattr(learner.model, n).trainable_variables) for n in (player, other)}
    tf.function(lambda: learner.turn(player, batch()), autograph=False)()
    assert all(moved(getattr(learner.model, player), before[player]))
    assert not any(moved(getattr(learner.model, other), before[other]))
    assert int(getattr(learner, other).optimizer.iterations.numpy()) == 0


def test_a_step_is_a_turn_of_each_and_the_generator_answers_the_new_discriminator():
    whole, turns = learner_of(), learner_of()
    given = batch()
    logs = tf.function(whole.train_step, autograph=False)(given)
    first = turns.turn("discriminator", given)
    second = turns.turn("generator", given)
    assert float(logs["loss"]) == pytest.approx(float(first["loss"]), rel=1e-6)
    assert float(logs["generator_loss"]) == pytest.approx(float(second["loss"]), rel=1e-6)
    assert float(first["generator_loss"]) != pytest.approx(float(second["loss"]), rel=1e-4)
    for a, b in zip(whole.model.trainable_variables, turns.model.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_each_of_several_critic_steps_has_examples_of_its_own():
    given = batch(6)
    parts = [{k: v[i : i + 2] for k, v in given.items()} for i in (0, 2, 4)]
    learner, turns = learner_of(batch_size=6, critic_steps=3), learner_of()
    tf.function(learner.train_step, autograph=False)(given)
    for part in parts:
        turns.turn("discriminator", part)
    turns.turn("generator", parts[-1])
    pairs = zip(learner.model.trainable_variables, turns.model.trainable_variables, strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert int(learner.discriminator.optimizer.iterations.numpy()) == 3
    assert int(learner.generator.optimizer.iterations.numpy()) == 1


def test_both_rates_follow_the_schedule_by_steps_of_the_run(make_run):
    rule = optimization.SGD(learning_rate=1.0)
    recipe = dataclasses.replace(
        recipes.recipe(CONFIG),
        optimizer=rule,
        discriminator_optimizer=dataclasses.replace(rule, learning_rate=4.0),
        schedule=optimization.Step(boundaries=(1, 2), factor=0.5),
        batch_size=6,
        critic_steps=3,
    )
    run = dataclasses.replace(make_run(), config=CONFIG, recipe=recipe)
    learner = adversarial.make(gan.build(CONFIG), non_saturating, run)
    step = tf.function(learner.train_step, autograph=False)
    rates = []
    for _ in range(3):
        logs = step(batch(6))
        rates.append((float(logs["learning_rate"]), float(logs["discriminator_rate"])))
    assert rates == [(1, 4), (0.5, 2), (0.25, 1)]


def test_a_plateau_lowers_both(make_run):
    recipe = dataclasses.replace(
        recipes.recipe(CONFIG), schedule=optimization.Plateau(patience=1, factor=0.5)
    )
    run = dataclasses.replace(make_run(), config=CONFIG, recipe=recipe)
    learner = adversarial.make(gan.build(CONFIG), non_saturating, run)
    for value in (1.0, 2.0):
        learner.watched(value)
    for side in (learner.generator, learner.discriminator):
        assert float(side.optimizer.learning_rate) == pytest.approx(1e-3)


@pytest.mark.parametrize("critic_steps", [1, 2])
def test_a_restored_run_draws_and_moves_as_it_would_have(tmp_path, critic_steps):
    changes = {"average_half_life": 20, "critic_steps": critic_steps}
    old, new = (learner_of(seed=seed, **changes) for seed in (1, 2))
    going = golden.losses(old, batch(), 4)
    next(going), next(going)
    saved = checkpoints.save(tmp_path, old.state, checkpoints.Meta(2, None, None))
    checkpoints.restore(saved, new.state)
    assert list(going) == list(golden.losses(new, batch(), 2))
    for a, b in zip(old.state["average"], new.state["average"], strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_average_is_of_the_generator_and_is_what_is_evaluated_and_exported(tmp_path):
    learner = learner_of(average_half_life=20)
    list(golden.losses(learner, batch(), 3))
    own = {v.path for v in learner.model.generator.trainable_variables}
    assert {v.path for v in learner.state["average"]} == own
    with_own = learner.eval_step(batch())
    with learner.averaged():
        averaged = learner.eval_step(batch())
        inside = numpy(learner.model.generator.trainable_variables)
    assert float(with_own["energy_distance"]) != float(averaged["energy_distance"])
    saved = checkpoints.save(tmp_path, learner.state, checkpoints.Meta(3, None, None))
    weights = checkpoints.model_weights(checkpoints.read(saved)[1])
    for variable, value in zip(learner.model.generator.trainable_variables, inside, strict=True):
        np.testing.assert_array_equal(weights[variable.path], value)


def test_in_float16_each_network_has_a_loss_scale_of_its_own(make_run):
    run = dataclasses.replace(
        make_run(), config=CONFIG, recipe=recipes.recipe(CONFIG), precision="mixed_float16"
    )
    learner = adversarial.make(gan.build(CONFIG), non_saturating, run)
    assert {"loss_scale", "discriminator_loss_scale"} <= set(learner.state)
    logs = tf.function(learner.train_step, autograph=False)(batch())
    assert float(logs["loss_scale"]) == 2**15
    wrong = {"image": tf.fill([8, 4, 4, 1], float("inf"))}
    before = numpy(learner.model.discriminator.trainable_variables)
    tf.function(learner.train_step, autograph=False)(wrong)
    assert not any(moved(learner.model.discriminator, before)), "the step is skipped"
    assert float(learner.discriminator.loss_scale.scale.numpy()) == 2**14
    assert float(learner.generator.loss_scale.scale.numpy()) == 2**15


def test_noise_is_new_at_every_step_and_fixed_in_evaluations():
    learner = learner_of(
        optimizer=optimization.SGD(learning_rate=1e-30),
        discriminator_optimizer=optimization.SGD(learning_rate=1e-30),
    )
    first, second = golden.losses(learner, batch(), 2)
    assert first != second
    once, again = (learner.eval_step(batch()) for _ in range(2))
    assert {k: float(v) for k, v in once.items()} == {k: float(v) for k, v in again.items()}
    assert {"loss", "generator_loss", "real", "fake", "energy_distance"} <= once.keys()


@pytest.mark.parametrize("objective", ["minimax", "non_saturating"])
def test_the_recipe_chooses_the_game(objective):
    learner = learner_of(objective=objective)
    assert learner.objective.__name__ == objective
    logs = tf.function(learner.train_step, autograph=False)(batch())
    assert (float(logs["generator_loss"]) < 0) == (objective == "minimax")


def test_networks_lie_apart_in_a_checkpoint():
    paths = [v.path for v in keras.Model.weights.fget(gan.build(CONFIG))]
    assert len(set(paths)) == len(paths)
    assert {p.split("_")[0] for p in paths} == {"generator", "discriminator"}
