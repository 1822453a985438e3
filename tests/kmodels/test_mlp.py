"""The multi-layer perceptron against NumPy and its counts."""

import keras
import numpy as np
import pytest

from kmodels import mlp

COUNTS = {"xor": 9, "dnn": 669_706, "dnn-bn": 670_730, "sigmoid": 99_710}


@pytest.mark.parametrize(("preset", "count"), COUNTS.items())
def test_counts_are_the_published_ones(preset, count):
    assert mlp.param_count(mlp.PRESETS[preset]) == count


def test_batch_normalisation_has_its_moving_statistics():
    model = mlp.build(mlp.PRESETS["dnn-bn"])
    assert model.count_params() - mlp.param_count(mlp.PRESETS["dnn-bn"]) == 2048


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_outputs_are_those_of_numpy(activation, batch_norm, training):
    config = mlp.Config(
        inputs=(3, 2, 1), hidden=(5, 4), classes=3, activation=activation, batch_norm=batch_norm
    )
    rng = np.random.default_rng(0)
    model = mlp.build(config)
    for variable in model.variables:
        if "seed" not in variable.path:
            variable.assign(rng.uniform(0.2, 1.5, tuple(variable.shape)))
    weights = {v.path: v.numpy().astype(np.float64) for v in model.variables}
    x = rng.normal(size=(7, 3, 2, 1)).astype(np.float32)
    h = x.reshape(7, 6).astype(np.float64)
    bend = {
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0),
    }
    for i in range(2):
        h = h @ weights[f"layer_{i}/kernel"]
        if batch_norm:
            norm = {k.split("/")[1]: v for k, v in weights.items() if k.startswith(f"norm_{i}/")}
            mean = h.mean(0) if training else norm["moving_mean"]
            variance = h.var(0) if training else norm["moving_variance"]
            h = (h - mean) / np.sqrt(variance + 1e-5) * norm["gamma"] + norm["beta"]
        else:
            h = h + weights[f"layer_{i}/bias"]
        h = bend[activation](h)
    wanted = h @ weights["logits/kernel"] + weights["logits/bias"]
    given = keras.ops.convert_to_numpy(model(x, training=training))
    np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"hidden": ()}, "config.hidden"),
        ({"hidden": (3, 0)}, "config.hidden"),
        ({"inputs": ()}, "config.inputs"),
        ({"classes": 1}, "at least 2"),
        ({"dropout": 1.0}, "dropout"),
        ({"activation": "rely"}, "Did you mean 'relu'"),
        ({"statistics": "some"}, "config.statistics"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        mlp.Config(**wrong)


def test_classes_must_be_known_to_build():
    with pytest.raises(ValueError, match="config.classes is not set"):
        mlp.build(mlp.PRESETS["tiny"])
