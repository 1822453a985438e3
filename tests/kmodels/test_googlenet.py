"""GoogLeNet: published counts, and the same answers as a NumPy network, heads included."""

import dataclasses

import numpy as np
import pytest

from kmodels import googlenet
from tests import numpy_nets as nets


def test_counts_are_the_published_ones():
    config = googlenet.PRESETS["imagenet"]
    assert googlenet.param_count(config) == 13_378_280
    assert googlenet.param_count(dataclasses.replace(config, auxiliary=False)) == 6_998_552


@pytest.mark.parametrize("size", [224, 96])
def test_outputs_are_those_of_numpy(size):
    config = googlenet.Config(size=size, narrower=16, classes=5)
    model = googlenet.build(config)
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        fan = np.prod(v.shape[:-1]) if len(v.shape) > 1 else 4
        v.assign(rng.normal(0, 1.2 / np.sqrt(fan), tuple(v.shape)))
    w = {v.path: v.numpy().astype(np.float64) for v in model.trainable_variables}

    def conv(h, name):
        return nets.relu(nets.same(h, w[f"{name}/kernel"], w[f"{name}/bias"]))

    def dense(h, name):
        return h @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    x = rng.normal(0, 1, (2, size, size, 3)).astype(np.float32)
    h = nets.padded(x.astype(np.float64), 3, 3, 3, 3)
    h = nets.relu(nets.convolution(h, w["conv_1/kernel"], w["conv_1/bias"], stride=2))
    h = nets.responses(nets.max_pool_to_the_end(h, 3, 2), 2e-5)
    h = nets.responses(conv(conv(h, "conv_2_reduce"), "conv_2"), 2e-5)
    h = nets.max_pool_to_the_end(h, 3, 2)
    heads = {}
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        around = nets.max_pool(nets.padded(h, 1, 1, 1, 1, -np.inf), 3, 1)
        h = np.concatenate(
            [
                conv(h, f"{name}_1x1"),
                conv(conv(h, f"{name}_3x3_reduce"), f"{name}_3x3"),
                conv(conv(h, f"{name}_5x5_reduce"), f"{name}_5x5"),
                conv(around, f"{name}_pool_1x1"),
            ],
            axis=-1,
        )
        if name in ("4a", "4d"):
            aux = {"4a": "aux_1", "4d": "aux_2"}[name]
            small = conv(nets.mean_pool(h, 5, 3), f"{aux}_1x1").reshape(2, -1)
            heads[aux] = dense(nets.relu(dense(small, f"{aux}_fc")), aux)
        if name in ("3b", "4e"):
            h = nets.max_pool_to_the_end(h, 3, 2)
    heads["logits"] = dense(h.mean(axis=(1, 2)), "logits")
    given = model(x, training=False)
    assert set(given) == set(heads)
    for name, wanted in heads.items():
        np.testing.assert_allclose(given[name], wanted, atol=1e-4 * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"size": 16}, "at least 32"),
        ({"size": 2, "stem": False}, "at least 4"),
        ({"narrower": 0}, "at least 1"),
        ({"dropout": 1.0}, "config.dropout"),
        ({"auxiliary_dropout": -1.0}, "auxiliary_dropout"),
        ({"channels": 4}, "1 or 3"),
        ({"blocks": ()}, "empty"),
        ({"blocks": ("3b", "3a")}, "in that order"),
        ({"blocks": ("3a", "6a")}, "some of 3a"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        googlenet.Config(**wrong)
