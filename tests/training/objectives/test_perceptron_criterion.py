"""One step down the criterion is Rosenblatt's rule, example by example."""

import numpy as np
import pytest
import tensorflow as tf

from kmodels import perceptron
from training.objectives.perceptron_criterion import perceptron_criterion
from training.optimization import SGD, Constant
from training.optimizers import make
from training.step import descend


def test_a_step_of_sgd_is_the_rule():
    """Against the rule in float64, over a hundred random examples."""
    rng = np.random.default_rng(0)
    model = perceptron.build(perceptron.Config(inputs=3, units=2))
    optimizer = make(SGD(learning_rate=0.5, momentum=0.0), Constant(), 100, model)
    kernel, bias = (v.numpy().astype(np.float64) for v in model.trainable_variables)
    moved = 0
    for _ in range(100):
        x, wanted = rng.normal(size=3), rng.integers(0, 2, 2)
        batch = {
            "features": tf.constant(x[None], tf.float32),
            "label": tf.constant(wanted[None], tf.int32),
        }
        descend(perceptron_criterion, model, [(optimizer, model.trainable_variables)], batch)
        fired = (x @ kernel + bias >= 0).astype(float)
        kernel += 0.5 * np.outer(x, wanted - fired)
        bias += 0.5 * (wanted - fired)
        moved += int((fired != wanted).sum())
        np.testing.assert_allclose(model.trainable_variables[0].numpy(), kernel, atol=1e-4)
        np.testing.assert_allclose(model.trainable_variables[1].numpy(), bias, atol=1e-4)
    assert moved > 20


def test_errors_are_told_by_unit_and_masked_examples_do_not_count():
    model = perceptron.build(perceptron.Config(inputs=1, units=2))
    kernel, bias = model.trainable_variables
    kernel.assign([[1.0, -1.0]])
    bias.assign([0.0, 0.5])
    batch = {
        "features": tf.constant([[1.0], [-1.0], [9.0]]),  # sums 1, -0.5; -1, 1.5
        "label": tf.constant([[1, 1], [1, 0], [0, 0]]),
        "mask": tf.constant([1.0, 1.0, 0.0]),
    }
    loss, logs = perceptron_criterion(model, batch, training=False)
    assert float(loss) == pytest.approx((0.5 + 1.0 + 1.5) / 2)
    assert [float(logs[f"error_{i}"]) for i in (0, 1)] == [0.5, 1.0]
    assert float(logs["error"]) == 0.75 and float(logs["weight"]) == 2
