"""Every paper, the same questions."""

import dataclasses
import functools
import importlib.util
import json
import math
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels.core import classifying, zoo
from tests.golden import generate as golden
from training import checkpoints, draws, recipes, saved_model
from training.config import Recipe

HERE = pathlib.Path(__file__).parent
SMALL = {"vocab": 50, "context": 16, "depth": 2, "width": 16, "heads": 2, "head_width": 12}
SMALL |= {"classes": 7}
SMALLER = {"widths": 8, "hidden": 32}  # each number divided, at least 4
FEWER = {"depths": 2, "groups": 4}  # each number at most this
LONG = {("ddpm", "256px"), ("ddpm", "celeba64")}  # as cifar10, of other levels
SHRUNK = [
    pytest.param(name, preset, marks=[pytest.mark.slow] * ((name, preset) in LONG))
    for name in zoo.names()
    for preset in zoo.load(name).PRESETS
]


@functools.cache
def stored(name: str) -> Any:
    return json.loads((HERE / "golden" / f"{name}.json").read_text())


@functools.cache
def prepared(name: str) -> Any:
    """The tiny preset with the recipe's own data."""
    config = zoo.load(name).PRESETS["tiny"]
    module = recipes.load(name)
    return module.prepare(config, module.recipe(config), None)


@functools.cache
def endpoints(name: str) -> Any:
    """The endpoints of a tiny model whose weights are large enough to have opinions."""
    keras.utils.set_random_seed(3)
    model = zoo.load(name).build(prepared(name).config)
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0, 0.1, tuple(variable.shape)).astype("float32"))
    return zoo.load(name).endpoints(model, prepared(name).codec)


def shrink(config: Any) -> Any:
    fields = {f.name for f in dataclasses.fields(config) if getattr(config, f.name) is not None}
    small = {k: v for k, v in SMALL.items() if k in fields or k in zoo.open_fields(config)}
    for name, by in SMALLER.items():
        if name in fields:
            small[name] = tuple(max(4, n // by) for n in getattr(config, name))
    for name, most in FEWER.items():
        if name in fields:
            given = getattr(config, name)
            several = isinstance(given, tuple)
            small[name] = tuple(min(most, n) for n in given) if several else min(most, given)
    return dataclasses.replace(config, **small)


@functools.cache
def counted(name: str, config: Any) -> int:
    """The trainable numbers of a real model, built; many presets shrink to the same."""
    built = zoo.load(name).build(config)
    return sum(math.prod(variable.shape) for variable in built.trainable_variables)


def call(endpoint: Any, request: dict[str, Any]) -> dict[str, np.ndarray]:
    tensors = {k: tf.constant(v, endpoint.inputs[k].dtype) for k, v in request.items()}
    return {k: v.numpy() for k, v in traced(endpoint)(**tensors).items()}


@functools.cache
def _traced(key: int, function: Any) -> Any:
    return tf.function(function, reduce_retracing=True, autograph=False)


def traced(endpoint: Any) -> Any:
    return _traced(id(endpoint), endpoint.function)


each_paper = pytest.mark.parametrize("name", zoo.names())


@pytest.mark.tiny
@each_paper
def test_a_paper_says_where_it_was_published(name):
    paper = zoo.load(name)
    assert all(dataclasses.asdict(paper.PAPER).values())
    assert 1950 < paper.PAPER.year < 2030
    assert paper.PAPER.url.startswith("https://")
    assert paper.__doc__.strip()


@pytest.mark.tiny
@each_paper
def test_presets_are_frozen_values_and_tiny_is_one(name):
    presets = zoo.load(name).PRESETS
    assert "tiny" in presets
    kind = type(presets["tiny"])
    for preset, config in presets.items():
        assert preset == preset.lower() and "_" not in preset
        assert type(config) is kind
        field = dataclasses.fields(config)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, field, 1)
    with pytest.raises(TypeError):
        kind(1)


@pytest.mark.tiny
@each_paper
def test_counts_of_all_presets_are_the_golden_ones(name):
    paper = zoo.load(name)
    counted = {
        preset: paper.param_count(config)
        for preset, config in paper.PRESETS.items()
        if not zoo.open_fields(config)
    }
    assert counted == stored(name)["parameters"]


@pytest.mark.parametrize(("name", "preset"), SHRUNK)
def test_the_count_is_that_of_a_real_model(name, preset):
    paper = zoo.load(name)
    config = shrink(paper.PRESETS[preset])
    assert paper.param_count(config) == counted(name, config)


@pytest.mark.tiny
@each_paper
def test_a_seed_decides_all_initial_weights(name):
    paper, config = zoo.load(name), golden.config_of(zoo.load(name))

    def weights(seed):
        keras.utils.set_random_seed(seed)
        return [v.numpy() for v in paper.build(config).variables]  # what draws, too

    once, again, other = weights(5), weights(5), weights(6)
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(once, other, strict=True))


@each_paper
def test_the_recipe_is_whole(name):
    paper, module = zoo.load(name), recipes.load(name)
    assert module.PRESET in paper.PRESETS
    assert module.UNIT and module.DATA
    for config in paper.PRESETS.values():
        recipe = module.recipe(config)
        assert isinstance(recipe, Recipe)
        assert recipe == module.recipe(config), "a recipe is a pure function"
        assert recipe.data in module.DATA
        for kind in ("learner", "objective", "data"):
            place = "data" if kind == "data" else f"{kind}s"
            assert importlib.util.find_spec(f"training.{place}.{getattr(recipe, kind)}")


@each_paper
def test_no_batch_is_tuned_by_tensorflow(name):
    """An iterator that is may take up to a minute to end."""
    made = prepared(name)
    batch_size = recipes.load(name).recipe(zoo.load(name).PRESETS["tiny"]).batch_size
    for split in ("train", "eval"):
        options = made.data.batches(split, batch_size, seed=0).options()
        assert options.autotune.enabled is False and options.deterministic


@each_paper
def test_endpoints_are_described_without_contradiction(name):
    offered = endpoints(name)
    assert "serving_default" in offered
    for endpoint in offered.values():
        assert set(endpoint.defaults) <= set(endpoint.inputs)
        assert set(endpoint.example) <= set(endpoint.inputs)
        assert set(endpoint.example) | set(endpoint.defaults) == set(endpoint.inputs)
        for key, value in {**endpoint.defaults, **endpoint.example}.items():
            spec = endpoint.inputs[key]
            assert spec.is_compatible_with(tf.constant(value, spec.dtype)), key
        for key, value in endpoint.defaults.items():
            assert np.shape(value)[0] == 1, key


@each_paper
def test_every_endpoint_can_be_traced_and_answers_in_finite_numbers(name):
    for endpoint in {id(e): e for e in endpoints(name).values()}.values():
        specs = {
            k: tf.TensorSpec(spec.shape, spec.dtype, name=k) for k, spec in endpoint.inputs.items()
        }
        traced(endpoint).get_concrete_function(**specs)
        answer = call(endpoint, saved_model.full(endpoint))
        assert answer
        for value in answer.values():
            assert value.shape[0] == len(next(iter(endpoint.example.values())))
            assert value.dtype == object or np.isfinite(value).all()


@each_paper
def test_a_row_gets_the_same_answer_alone_and_in_company(name):
    for endpoint in {id(e): e for e in endpoints(name).values()}.values():
        request = saved_model.full(endpoint)
        rows = len(next(iter(endpoint.example.values())))
        assert rows > 1, "an example has at least two rows"
        together = call(endpoint, request)
        for row in range(rows):
            alone = call(
                endpoint,
                {k: v[row : row + 1] if len(v) == rows else v for k, v in request.items()},
            )
            for key, value in alone.items():
                company = together[key][row : row + 1]
                if value.dtype == object:
                    assert company.tolist() == value.tolist()
                    continue
                own = tuple(slice(0, n) for n in value.shape)
                np.testing.assert_allclose(company[own], value, rtol=1e-5, atol=1e-5)
                rest = company.copy()
                rest[own] = 0
                assert not rest.any(), "what stands past a row's own end is 0"


@pytest.mark.tiny
@each_paper
def test_outputs_and_losses_are_the_golden_ones(name):
    now, then = golden.golden(name)["tiny"], stored(name)["tiny"]
    assert now["parameters"] == then["parameters"]
    np.testing.assert_allclose(now["outputs"], then["outputs"], atol=1e-4)
    np.testing.assert_allclose(now["losses"], then["losses"], atol=1e-3)
    assert now["losses"][-1] < now["losses"][0]


@each_paper
def test_the_gradient_reaches_every_variable(name):
    """Of some of three networks: in one, a unit alone in its layer may rest."""
    config = golden.config_of(zoo.load(name))
    batch, reached, rng = golden.batch_of(name, config), set(), np.random.default_rng(0)
    for seed in range(3):
        learner = golden.learner_of(name, config, seed=seed)
        variables = learner.model.trainable_variables
        for variable in variables:  # what begins at 0 may keep the gradient from all before it
            variable.assign_add(rng.normal(0, 0.1, tuple(variable.shape)).astype("float32"))
        with tf.GradientTape() as tape:
            drawn = draws.added(batch, learner.model, training=True)
            loss, _ = learner.objective(learner.model, drawn, training=True)
        gradients = tape.gradient(loss, [v.value for v in variables])
        for variable, gradient in zip(variables, gradients, strict=True):
            assert gradient is not None, variable.path
            if np.abs(tf.convert_to_tensor(gradient)).max() > 0:
                reached.add(variable.path)
        if not {v.path for v in variables} - reached:
            return
    assert not {v.path for v in variables} - reached


@functools.cache
def begun(name: str) -> tuple[Any, Any, dict[str, list[np.ndarray]]]:
    """A learner, one step of it on one batch as the recipe compiles it, and what it knows first."""
    config = prepared(name).config
    batch, xla = golden.batch_of(name, config), recipes.load(name).recipe(config).xla
    learner = golden.learner_of(name, config, seed=4, compile=xla)
    step = tf.function(lambda: learner.train_step(batch)["loss"], autograph=False)
    return learner, lambda: float(step()), known(learner)


def restart(learner: Any, state: dict[str, list[np.ndarray]]) -> None:
    """Sets all that the learner knows to what it was."""
    for name, group in learner.state.items():
        for variable, value in zip(group, state[name], strict=True):
            variable.assign(value)


def known(learner: Any) -> dict[str, list[np.ndarray]]:
    return {name: [v.numpy() for v in group] for name, group in learner.state.items()}


@each_paper
def test_a_restored_checkpoint_goes_on_the_same(name, tmp_path):
    """What the state does not hold stays where four steps have brought it, and would be seen."""
    learner, step, first = begun(name)
    batch = golden.batch_of(name, prepared(name).config)
    restart(learner, first)
    step(), step()
    before = float(learner.eval_step(batch)["loss"])
    checkpoint = checkpoints.save(tmp_path, learner.state, checkpoints.Meta(2, None, None))
    there = known(learner)
    undisturbed = [step(), step()]
    restart(learner, {k: [0 * v for v in group] for k, group in there.items()})
    checkpoints.restore(checkpoint, learner.state)
    assert all(
        np.array_equal(a, b)
        for k in there
        for a, b in zip(there[k], known(learner)[k], strict=True)
    )
    assert float(learner.eval_step(batch)["loss"]) == before
    assert [step(), step()] == undisturbed


@each_paper
def test_half_precision_gives_a_finite_loss_over_whole_weights(name, float32_again):
    config = golden.config_of(zoo.load(name))
    keras.config.set_dtype_policy("mixed_bfloat16")
    learner = golden.learner_of(name, config)
    assert {v.dtype for v in learner.model.trainable_variables} == {"float32"}
    values = list(golden.losses(learner, golden.batch_of(name, config), 3))
    assert np.isfinite(values).all() and values[-1] < values[0]


@each_paper
def test_an_evaluation_changes_nothing_and_repeats(name):
    tiny = zoo.load(name).PRESETS["tiny"]
    config = dataclasses.replace(
        golden.config_of(zoo.load(name)), **({"dropout": 0.5} if hasattr(tiny, "dropout") else {})
    )
    learner, batch = golden.learner_of(name, config), golden.batch_of(name, config)
    before = [v.numpy() for group in learner.state.values() for v in group]
    assert float(learner.eval_step(batch)["loss"]) == float(learner.eval_step(batch)["loss"])
    after = [v.numpy() for group in learner.state.values() for v in group]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@each_paper
def test_training_twice_from_one_state_gives_one_result(name):
    learner, step, first = begun(name)

    def trained():
        restart(learner, first)
        for _ in range(3):
            step()
        return [v for group in known(learner).values() for v in group]

    assert all(np.array_equal(a, b) for a, b in zip(trained(), trained(), strict=True))


HEADED = [name for name in zoo.names() if hasattr(zoo.load(name).PRESETS["tiny"], "classes")]


@pytest.mark.parametrize("name", HEADED)
def test_a_linear_probe_moves_the_head_alone(name):
    """Its optimizer and its average hold nothing else, decay reaches nothing else."""
    config, batch = (
        golden.config_of(zoo.load(name)),
        golden.batch_of(name, golden.config_of(zoo.load(name))),
    )
    learner = golden.learner_of(name, config, freeze=True, average_half_life=100)
    heads = {v.path for layer in classifying.heads(learner.model) for v in layer.weights}
    before = {v.path: v.numpy() for v in learner.model.weights}
    list(golden.losses(learner, batch, 3))
    moved = {v.path for v in learner.model.weights if not np.array_equal(v, before[v.path])}
    assert heads and moved == heads
    assert {v.path for v in learner.average.variables} == heads
    moved_by = (vs for group, vs in learner.state.items() if group.startswith("optimizer"))
    slots = [v for variables in moved_by for v in variables if tuple(v.shape)]
    shapes = {tuple(v.shape) for v in learner.model.weights if v.path in heads}
    assert {tuple(v.shape) for v in slots} <= shapes


def unsaid_statistics(model: keras.Model, config: Any) -> list[str]:
    """Batch normalisations that do not compute what the config says: over a replica or all."""
    said = getattr(config, "statistics", None)
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    return [layer.path for layer in layers if said != ("all" if layer.synchronized else "replica")]


@each_paper
def test_batch_normalisation_says_over_what_its_statistics_are(name):
    config = golden.config_of(zoo.load(name))
    assert not unsaid_statistics(zoo.load(name).build(config), config)


def test_statistics_that_are_not_said_are_seen():
    Said = dataclasses.make_dataclass("Said", ["statistics"])
    alone, together = (
        keras.Sequential([keras.Input([3]), keras.layers.BatchNormalization(synchronized=s)])
        for s in (False, True)
    )
    assert unsaid_statistics(alone, object()) and unsaid_statistics(alone, Said("all"))
    assert not unsaid_statistics(alone, Said("replica"))
    assert not unsaid_statistics(together, Said("all"))
