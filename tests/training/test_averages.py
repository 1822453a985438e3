"""Averaged weights: what they are, where they are used, and that nothing else moves."""

import functools
import io
import pathlib

import keras
import numpy as np
import pytest
import rich.console
import tensorflow as tf

from training import averages, checkpoints, loop, runs, step
from training.journal import Journal

HALF_LIFE = 6  # examples; a batch has 4, so an average keeps 0.63 of itself at a step
DECAY = 0.5 ** (4 / HALF_LIFE)


def numpy(variables):
    return [v.numpy() for v in variables]


def stepped(learner, batches):
    """Trains one step at a time; gives the weights before the first and after each."""
    many = step.repeat(learner.train_step, tf.distribute.get_strategy())
    iterator, weights = iter(batches), [numpy(learner.model.trainable_variables)]
    for _ in range(3):
        many(iterator, 1)
        weights.append(numpy(learner.model.trainable_variables))
    return weights


@pytest.mark.parametrize("compile", [False, True])
def test_the_average_follows_the_weights_by_its_half_life(make_run, make_learner, data, compile):
    learner = make_learner(make_run(average_half_life=HALF_LIFE, compile=compile))
    first, *after = stepped(learner, data.batches("train", 4, seed=0))
    wanted = [w.astype("float64") for w in first]
    for weights in after:
        wanted = [DECAY * a + (1 - DECAY) * w for a, w in zip(wanted, weights, strict=True)]
    for a, b, w in zip(numpy(learner.average.variables), wanted, after[-1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
        assert np.abs(a - w).max() > 1e-3, "and is not the weights"


def test_half_of_the_first_weights_is_left_after_the_half_life():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.trainable_variables[0].assign([[1.0]])
    average = averages.Average(model, half_life=100, batch_size=10)
    model.trainable_variables[0].assign([[0.0]])
    for _ in range(10):
        average.update()
    assert average.variables[0].numpy() == pytest.approx(0.5, rel=1e-6)


def test_training_is_the_same_with_and_without(make_run, make_learner, data):
    batches = data.batches("train", 4, seed=0)
    with_it = stepped(make_learner(make_run(average_half_life=HALF_LIFE)), batches)
    without = make_learner(make_run())
    for mine, theirs in zip(with_it[-1], stepped(without, batches)[-1], strict=True):
        assert mine.tobytes() == theirs.tobytes()
    assert set(without.state) == {"model", "optimizer"}


def test_inside_the_model_has_the_average_and_outside_its_own_weights_to_the_bit(
    make_run, make_learner, data
):
    learner = make_learner(make_run(average_half_life=HALF_LIFE))
    stepped(learner, data.batches("train", 4, seed=0))
    before, average = (numpy(v) for v in (learner.model.variables, learner.average.variables))
    with pytest.raises(OSError), learner.averaged():
        inside = numpy(learner.model.trainable_variables)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(inside, average, strict=True))
        raise OSError("an evaluator failed")
    for was, now in ((before, learner.model.variables), (average, learner.average.variables)):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(was, numpy(now), strict=True))


def trained(run, make_learner, data, on):
    """Trains the run; `on(model)` is its evaluator."""
    learner = make_learner(run)
    journal = Journal(run, unit="tokens", console=rich.console.Console(file=io.StringIO()))
    strategy = tf.distribute.get_strategy()
    looks = [lambda: on(learner.model)]
    loop.train(run, learner, data, journal, strategy=strategy, evaluators=looks)
    return learner


def test_evaluations_samples_and_exports_use_the_average(
    make_run, make_learner, data, tmp_path: pathlib.Path
):
    run, seen = make_run(average_half_life=HALF_LIFE, steps=4, eval_every=4), []
    learner = trained(run, make_learner, data, lambda m: seen.append(numpy(m.variables)) or {})
    average = numpy(learner.average.variables)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(seen[0], average, strict=True))
    _, tensors = checkpoints.read(run.run_dir / "checkpoints" / "00000004")
    assert {name.split("/")[0] for name in tensors} == {"model", "optimizer", "average"}
    best = checkpoints.model_weights(runs.tensors(run.run_dir))
    for variable, value in zip(learner.model.trainable_variables, average, strict=True):
        path = variable.path.partition("/")[2]
        (name,) = (n for n in best if n.partition("/")[2] == path)
        assert best[name].tobytes() == value.tobytes()
    evaluate = step.repeat(learner.eval_step, tf.distribute.get_strategy())
    with learner.averaged():
        loss = evaluate(iter(data.batches("eval", 4, seed=0)), 2)["loss"]
    assert f'"loss": {loss}' in (run.run_dir / "logs.jsonl").read_text().splitlines()[-1]


@pytest.mark.parametrize(
    "precision", [pytest.param("float32", marks=pytest.mark.slow), "mixed_float16"]
)
def test_an_interrupted_run_keeps_average_and_scale_to_the_bit(
    make_run, make_learner, data, tmp_path, same_tensors, float32_again, precision
):
    keras.config.set_dtype_policy(precision)
    make_run = functools.partial(
        make_run, average_half_life=HALF_LIFE, dropout=0.5, precision=precision
    )
    whole = make_run(run_dir=tmp_path / "whole")
    trained(whole, make_learner, data, lambda model: {})
    cut = make_run(run_dir=tmp_path / "cut")

    def fail(model):
        raise OSError("interrupted")

    calls = iter([lambda model: {}, fail, lambda model: {}, lambda model: {}])
    with pytest.raises(OSError):
        trained(cut, make_learner, data, lambda model: next(calls)(model))
    trained(cut, make_learner, data, lambda model: next(calls)(model))
    ends = [run.run_dir / "checkpoints" / "00000006" for run in (whole, cut)]
    assert same_tensors(*ends)


BEGIN = """
import pathlib
make = run.learner_of

def made(*args):
    global learner
    learner = make(*args)
    return learner

def saved(*args, **options):
    checkpoints.save(pathlib.Path({folder!r}), learner.state, checkpoints.Meta(0, None, None))
    os._exit(0)

run.learner_of, loop.train = made, saved
"""


def test_another_run_begins_with_the_average(commands, bare, tiny_argv, tmp_path):
    flags = (*tiny_argv, "--compile=off", "--average-half-life=40")
    first, begin = tmp_path / "first", BEGIN.format(folder=str(tmp_path))
    ended = commands(*flags, "--steps=20", f"--run-dir={first}", before=bare)
    assert ended.status == 0, ended.output
    ended = commands(
        *flags, f"--run-dir={tmp_path / 'third'}", f"--init-from={first}", before=begin
    )
    assert ended.status == 0, ended.output
    _, begun = checkpoints.read(tmp_path / "00000000")
    wanted = checkpoints.model_weights(runs.tensors(first))
    names = [n.removeprefix("average/") for n in begun if n.startswith("average/")]
    assert len(names) > 10
    for name in names:
        for group in ("model", "average"):
            assert begun[f"{group}/{name}"].tobytes() == wanted[name].tobytes(), name
