"""AlexNet: published counts, and the same answers as a NumPy network."""

import dataclasses

import numpy as np
import pytest

from kmodels import alexnet
from tests import numpy_nets as nets


@pytest.mark.parametrize(("preset", "count"), [("grouped", 60_965_224), ("ungrouped", 62_378_344)])
def test_counts_are_the_published_ones(preset, count):
    assert alexnet.param_count(alexnet.PRESETS[preset]) == count


def test_layers_have_the_published_sizes():
    config = alexnet.PRESETS["grouped"]
    assert config.map_side == 6
    first = [(11 * 11 * 3 + 1) * 96, (5 * 5 * 48 + 1) * 256, (9 * 256 + 1) * 384]
    assert first == [34_944, 307_456, 885_120]


SMALL = {"widths": (8, 12, 16, 16, 12), "hidden": (20, 24), "classes": 6}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("lrn", "alpha"), [("averaged", 2e-5), ("summed", 1e-4), ("none", 0.0)])
@pytest.mark.parametrize("size", [224, 227])
def test_outputs_are_those_of_numpy(groups, lrn, alpha, size):
    """227 needs no padding, 224 three rows and columns on the right and below."""
    config = alexnet.Config(groups=groups, lrn=lrn, size=size, **SMALL)
    model = alexnet.build(config)
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        fan = np.prod(v.shape[:-1]) if len(v.shape) > 1 else 1
        v.assign(rng.normal(0, 1.2 / np.sqrt(fan), tuple(v.shape)))
    w = {v.path: v.numpy().astype(np.float64) for v in model.trainable_variables}
    x = rng.normal(0, 60, (2, size, size, 3)).astype(np.float32)
    assert x.shape[1] in (224, 227)
    h = nets.padded(x.astype(np.float64), 0, 227 - size, 0, 227 - size)
    for i in range(1, 6):
        kernel, bias = w[f"conv_{i}/kernel"], w[f"conv_{i}/bias"]
        if i == 1:
            h = nets.relu(nets.convolution(h, kernel, bias, stride=4))
            assert h.shape[1] == 55
        else:
            h = nets.relu(nets.same(h, kernel, bias, groups=groups if i in (2, 4, 5) else 1))
        if i <= 2 and lrn != "none":
            h = nets.responses(h, alpha)
        if i in (1, 2, 5):
            h = nets.max_pool(h, 3, 2)
    h = h.reshape(2, -1)
    for name in ("fc_6", "fc_7"):
        h = nets.relu(h @ w[f"{name}/kernel"] + w[f"{name}/bias"])
    wanted = h @ w["logits/kernel"] + w["logits/bias"]
    given = np.asarray(model(x, training=False))
    np.testing.assert_allclose(given, wanted, atol=1e-4 * np.abs(wanted).max())


def test_biases_begin_as_the_paper_has_them():
    model = alexnet.build(dataclasses.replace(alexnet.PRESETS["tiny"], classes=3, bias=1.0))
    begins = {
        v.path: set(v.numpy().ravel().tolist())
        for v in model.trainable_variables
        if "bias" in v.path
    }
    ones = {path for path, values in begins.items() if values == {1.0}}
    assert ones == {f"conv_{i}/bias" for i in (2, 4, 5)} | {"fc_6/bias", "fc_7/bias"}
    assert all(values == {0.0} for path, values in begins.items() if path not in ones)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"widths": (8, 8)}, "five numbers"),
        ({"groups": 5}, "must divide by it"),
        ({"size": 40}, "nothing is left"),
        ({"lrn": "avaraged"}, "Did you mean 'averaged'"),
        ({"dropout": -0.1}, "dropout"),
        ({"channels": 4}, "1 or 3"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        alexnet.Config(**wrong)
