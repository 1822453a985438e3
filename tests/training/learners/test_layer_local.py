"""One rule per layer: what each moves, what is drawn, what is remembered, and that it learns."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from kmodels import forward_forward as ff
from tests.golden import generate as golden
from training import checkpoints, recipes

NAME = "forward_forward"
TINY = dataclasses.replace(ff.PRESETS["tiny"], classes=10)


def learner_of(config=TINY, **changes):
    return golden.learner_of(NAME, config, **changes)


def batch_of(config=TINY):
    return golden.batch_of(NAME, config)


def moved(learner, batch, steps=1):
    """Path -> how far each weight went."""
    before = {v.path: v.numpy() for v in learner.model.weights}
    losses = list(golden.losses(learner, batch, steps))
    return losses, {v.path: v.numpy() - before[v.path] for v in learner.model.weights}


def test_each_layer_has_an_optimizer_and_the_softmax_a_faster_one():
    learner = learner_of()
    assert list(learner.rules) == ["hidden_0", "hidden_1", "hidden_2", "logits"]
    for name, (optimizer, variables) in learner.rules.items():
        assert {v.path.split("/")[1] for v in variables} == {name}
        head = name == "logits"
        rate = recipes.load(NAME).recipe(TINY).optimizer.learning_rate * (10 if head else 1)
        assert float(optimizer.learning_rate) == pytest.approx(rate)
        assert optimizer.coupled_decay == pytest.approx(3e-3 if head else 1e-3)


def test_running_activities_begin_at_a_half_and_take_a_tenth():
    learner, batch = learner_of(), batch_of()
    label = tf.one_hot(batch["label"], 10)
    wanted = [s.active.numpy().mean(0) for s in learner.model.states(batch["image"], label)]
    list(golden.losses(learner, batch, 1))
    for layer, mean in zip(learner.model.hidden, wanted, strict=True):
        np.testing.assert_allclose(layer.activity, 0.45 + 0.1 * mean, rtol=1e-5)


@pytest.mark.parametrize(("parts", "compile"), [(2, False), (1, True)])
def test_a_batch_in_parts_or_compiled_is_the_same_step(parts, compile):
    """Hard negatives and activities included: they are those of the whole batch."""
    whole, cut = learner_of(), learner_of(micro_batches=parts, compile=compile)
    one, other = (moved(learner, batch_of(), 3) for learner in (whole, cut))
    np.testing.assert_allclose(one[0], other[0], rtol=1e-5)
    for path, way in one[1].items():
        np.testing.assert_allclose(other[1][path], way, atol=1e-5, err_msg=path)


def test_layers_clip_by_their_own_norm():
    """A step of plain descent of a clipped layer is as long as rate times norm, each by itself."""
    plain = dataclasses.replace(
        recipes.load(NAME).recipe(TINY).optimizer, momentum=0.0, weight_decay=0.0, clip_norm=1e-2
    )
    learner = learner_of(optimizer=plain)
    _, ways = moved(learner, batch_of())
    for name, (optimizer, variables) in learner.rules.items():
        length = np.sqrt(sum((ways[v.path] ** 2).sum() for v in variables))
        assert length == pytest.approx(1e-2 * float(optimizer.learning_rate), rel=1e-3), name


def test_other_layers_do_not_feel_a_layer():
    """The first layer's step is the same whatever stands above it, but for the wrong labels."""
    one, other = learner_of(), learner_of()
    for layer in other.model.hidden[1:]:
        layer.kernel.assign(layer.kernel * 3.0)
    batch = batch_of()  # the softmax begins at 0, so all wrong labels are as likely
    ways = [moved(learner, batch)[1] for learner in (one, other)]
    path = f"{NAME}/hidden_0/kernel"
    np.testing.assert_array_equal(ways[0][path], ways[1][path])
    assert (ways[0][f"{NAME}/hidden_1/kernel"] != ways[1][f"{NAME}/hidden_1/kernel"]).any()


def test_a_restored_learner_goes_on_as_if_it_had_never_stopped(tmp_path):
    batch, old, new = batch_of(), learner_of(seed=1), learner_of(seed=2)
    going = golden.losses(old, batch, 5)
    next(going), next(going)
    place = checkpoints.save(tmp_path, old.state, checkpoints.Meta(2, None, None))
    checkpoints.restore(place, new.state)
    assert list(going) == list(golden.losses(new, batch, 3))
    for mine, theirs in zip(new.model.variables, old.model.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=mine.path)


def test_a_learner_of_hybrids_learns_to_tell_them():
    config = dataclasses.replace(TINY, label="none", size=8)
    losses, ways = moved(learner_of(config), batch_of(config), 10)
    assert losses[-1] < losses[0] and np.isfinite(losses).all()
    assert all(way.any() for way in ways.values())


def test_both_ways_to_ask_are_better_than_chance_after_some_steps():
    """On held-out digits: nine of ten guesses would be wrong."""
    config = dataclasses.replace(ff.PRESETS["digits"], hidden=(80, 80))
    recipe = recipes.load(NAME).recipe(config)
    data = recipes.load(NAME).prepare(config, recipe, None).data
    learner = learner_of(config)
    step = tf.function(learner.train_step, autograph=False)
    for batch in data.batches("train", 50, seed=0).take(400):
        step(batch)
    held_out = next(iter(data.batches("eval", 360, seed=0)))
    logs = learner.eval_step(held_out)
    assert float(logs["error"]) < 0.5 and float(logs["error_softmax"]) < 0.5
    sums = ff.energy(learner.model.goodnesses(held_out["image"])).numpy().argmax(1)
    quick = learner.model(held_out["image"]).numpy().argmax(1)
    assert (sums == quick).mean() > 0.6
