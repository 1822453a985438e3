"""Cross-entropy against NumPy, and the share of wrong answers, ties and masks included."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.objectives.classification import classification

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (6, 7)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 4, 5], np.int32)


def asked(outputs, training=False, **batch):
    """Loss and logs for a network that says `outputs` whatever it is shown."""

    def model(inputs, training):
        assert inputs is batch["image"]
        return outputs

    model.auxiliary_weight = 0.3
    batch = {"image": tf.zeros((6, 2, 2, 1)), "label": tf.constant(LABELS), **batch}
    loss, logs = classification(model, batch, training=training)
    return float(loss), {name: float(value) for name, value in logs.items()}


def cross_entropy(logits, distribution):
    logits = logits.astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -(distribution * log_p).sum(axis=1)


HOT = np.eye(7)[LABELS]


def test_the_loss_is_the_mean_cross_entropy():
    loss, logs = asked(tf.constant(LOGITS))
    assert loss == pytest.approx(cross_entropy(LOGITS, HOT).mean(), rel=1e-6)
    ranks = (LOGITS[np.arange(6), LABELS][:, None] <= LOGITS).sum(axis=1) - 1
    assert logs["error"] == pytest.approx((ranks >= 1).mean())
    assert logs["top_5_error"] == pytest.approx((ranks >= 5).mean())
    assert logs["weight"] == 6


def test_a_distribution_may_be_wanted():
    wanted = RNG.dirichlet(np.ones(7), 6).astype(np.float32)
    loss, logs = asked(tf.constant(LOGITS), label=tf.constant(wanted))
    assert loss == pytest.approx(cross_entropy(LOGITS, wanted).mean(), rel=1e-6)
    assert logs["error"] == pytest.approx((LOGITS.argmax(1) != wanted.argmax(1)).mean())


def test_masked_examples_do_not_count():
    mask = np.array([1, 0, 1, 1, 0, 0], np.float32)
    loss, logs = asked(tf.constant(LOGITS), mask=tf.constant(mask))
    losses = cross_entropy(LOGITS, HOT)
    assert loss == pytest.approx(losses[mask > 0].mean(), rel=1e-6)
    assert logs["weight"] == 3
    loss, logs = asked(tf.constant(LOGITS), mask=tf.zeros(6))
    assert (loss, logs["error"], logs["weight"]) == (0, 0, 0)


def test_auxiliary_heads_count_in_training_only():
    head = RNG.normal(0, 2, (6, 7)).astype(np.float32)
    outputs = {
        "logits": tf.constant(LOGITS),
        "aux_1": tf.constant(head),
        "aux_2": tf.constant(head),
    }
    main, aux = cross_entropy(LOGITS, HOT).mean(), cross_entropy(head, HOT).mean()
    assert asked(outputs)[0] == pytest.approx(main, rel=1e-6)
    assert asked(outputs, training=True)[0] == pytest.approx(main + 0.6 * aux, rel=1e-6)


def test_who_says_the_same_of_all_is_wrong():
    assert asked(tf.zeros((6, 7)))[1]["error"] == 1


def test_one_unit_for_two_classes_is_a_sigmoid():
    z = np.array([[-2.0], [3.0], [0.5], [-1.0], [4.0], [-4.0]], np.float32)
    label = np.array([0, 1, 0, 1, 1, 1], np.int32)
    yes = 1 / (1 + np.exp(-z[:, 0].astype(np.float64)))
    loss, logs = asked(tf.constant(z), label=tf.constant(label))
    assert loss == pytest.approx(-np.log(np.where(label, yes, 1 - yes)).mean(), rel=1e-6)
    assert logs["error"] == pytest.approx(3 / 6)
    assert "top_5_error" not in logs


def test_rows_of_numbers_are_taken_as_well():
    units = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    batch = {"features": tf.zeros((2, 3)), "label": tf.constant([0, 1])}
    assert np.isfinite(classification(units, batch, training=True)[0])
