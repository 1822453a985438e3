"""Forward-Forward's losses: each reaches its layer alone, with the gradients of Hinton's code."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import forward_forward as ff
from training.objectives import goodness as objective

ROWS, CLASSES = 6, 4
LABEL = np.array([0, 1, 2, 3, 0, 1], np.int32)
LOCAL = {"size": 6, "hidden": (3, 2, 2), "fields": ((3, 1), (2, 1), (2, 1)), "label": "none"}


def made(seed=0, **changes):
    keras.utils.set_random_seed(seed)
    given = {"size": 4, "hidden": (7, 6, 5), "classes": CLASSES, "label": "before", **changes}
    model, rng = ff.build(ff.Config(**given)), np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0.05, 0.4, tuple(variable.shape)))
    for layer in model.hidden:
        layer.activity.assign(rng.uniform(0, 1, layer.units))
    return model


def batch_of(model, rows=ROWS, **more):
    rng, size = np.random.default_rng(1), model.config.size
    image = rng.uniform(0, 1, (rows, size, size, 1)).astype(np.float32)
    draw = rng.uniform(0, 1, (rows, *model.draws["draw"].shape)).astype(np.float32)
    batch = {"image": image, "label": LABEL[:rows], "draw": draw, **more}
    return {name: tf.constant(value) for name, value in batch.items()}


def states(model, batch):
    """Real and made-up ones, as the objective has them."""
    logits = model(batch["image"])
    return objective.examples(
        model, batch["image"], batch["label"], logits=logits, draw=batch["draw"]
    )


@pytest.mark.parametrize("changes", [{}, {"label": "over"}, {"label": "none"}, LOCAL])
def test_no_layers_loss_has_a_derivative_by_another_layers_weights(changes):
    """dL_i / dW_j is no tensor at all for i != j: the tape finds no way there."""
    model = made(**changes)
    layers = [*model.hidden, model.logits]
    with tf.GradientTape(persistent=True) as tape:
        batch = batch_of(model)
        real, made_up = states(model, batch)
        losses = [
            tf.reduce_mean(objective._loss(layer.units, yes, no) + objective._peers(layer, yes))
            for layer, yes, no in zip(model.hidden, real, made_up, strict=True)
        ]
        logits = model(batch["image"])
        losses.append(
            tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label"], logits))
        )
    for i, loss in enumerate(losses):
        for j, layer in enumerate(layers):
            found = tape.gradient(loss, [v.value for v in layer.trainable_variables])
            assert all((g is not None) == (i == j) for g in found), (i, j)
            if i == j:
                assert np.abs(found[0]).max() > 0


def by_hand(model, batch):
    """The gradients as Hinton's code writes them, of kernels and biases, by layer: descent."""
    real, made_up = states(model, batch)
    pairs = []
    for i, layer in enumerate(model.hidden):
        total_kernel = np.zeros(tuple(layer.kernel.shape))
        total_bias = np.zeros(layer.units)
        for sign, side in ((1, real), (-1, made_up)):
            if i:
                below = side[i - 1].normal.numpy()
            else:
                label = batch["label"].numpy()
                if sign < 0:
                    draw = batch["draw"]
                    label = objective.wrong_labels(model(batch["image"]), label, draw).numpy()
                below = model.inputs_of(batch["image"], tf.one_hot(label, CLASSES)).numpy()
            h = side[i].active.numpy().astype(np.float64)
            p = 1 / (1 + np.exp(-((h**2).sum(1) - layer.units)))
            slope = (1 - p)[:, None] * h if sign > 0 else -p[:, None] * h
            if sign > 0:
                activity = layer.activity.numpy()
                slope = slope + 0.03 * (activity.mean() - activity)
            total_kernel += below.T @ slope / len(h)
            total_bias += slope.mean(0)
        pairs += [-total_kernel, -total_bias]
    return pairs


@pytest.mark.parametrize("label", ["before", "over"])
def test_gradients_are_those_written_out_in_the_published_code(label):
    model = made(label=label)
    batch = batch_of(model)
    variables = [w for layer in model.hidden for w in (layer.kernel, layer.bias)]
    with tf.GradientTape() as tape:
        loss, _ = objective.goodness(model, batch, training=True)
    given = tape.gradient(loss, [v.value for v in variables])
    for own, wanted in zip(given, by_hand(model, batch), strict=True):
        np.testing.assert_allclose(own, wanted, atol=1e-5)


def test_peer_normalisation_wakes_a_silent_unit_and_is_not_in_the_loss():
    model = made()
    layer = model.hidden[0]
    layer.bias.assign(np.where(np.arange(7) == 2, -1e3, 0.0))
    layer.activity.assign(np.where(np.arange(7) == 2, 0.0, 0.7))
    batch = batch_of(model)
    with tf.GradientTape() as tape:
        loss, logs = objective.goodness(model, batch, training=True)
    slope = np.asarray(tape.gradient(loss, layer.bias.value))
    assert slope[2] == pytest.approx(-0.03 * 0.6, rel=1e-5), "descent makes it larger"
    assert logs["activity_0"].numpy()[2] == 0
    evaluated, _ = objective.goodness(model, batch, training=False)
    assert float(loss) == pytest.approx(float(evaluated), rel=1e-6)


def test_hard_negatives_are_never_the_right_class_and_follow_the_softmax():
    rng, count = np.random.default_rng(0), 40_000
    logits = np.array([2.0, 0.0, 1.0, -1.0], np.float32)
    label = rng.integers(0, 4, count).astype(np.int32)
    draw = rng.uniform(0, 1, count).astype(np.float32)
    draw[:8] = [0.0, 0.0, 0.0, 0.0, *[np.nextafter(np.float32(1), np.float32(0))] * 4]
    label[:8] = [0, 1, 2, 3] * 2
    rows = tf.constant(np.tile(logits, (count, 1)))
    wrong = objective.wrong_labels(rows, tf.constant(label), tf.constant(draw)).numpy()
    assert (wrong != label).all() and set(wrong) == {0, 1, 2, 3}
    for right in range(4):
        chances = np.where(np.arange(4) == right, 0, np.exp(logits))
        found = np.bincount(wrong[label == right], minlength=4) / (label == right).sum()
        np.testing.assert_allclose(found, chances / chances.sum(), atol=0.015)


def test_a_hybrid_has_each_pixel_of_one_of_two_pictures_in_blots():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 1, (3, 28, 28, 1)).astype(np.float32)
    draw = rng.uniform(0, 1, (3, 28, 28)).astype(np.float32)
    mask = objective.masks(tf.constant(draw)).numpy()
    assert set(np.unique(mask)) == {0.0, 1.0} and 0.2 < mask.mean() < 0.8
    apart = (mask[:, 1:] != mask[:, :-1]).mean()
    assert apart < 0.2, "neighbours of random bits differ in every second place"
    wanted = np.where(mask[..., None] > 0, image, image[[2, 0, 1]])
    np.testing.assert_array_equal(objective.hybrids(tf.constant(image), tf.constant(draw)), wanted)


def test_a_blur_is_the_papers_filter():
    bits = np.random.default_rng(0).integers(0, 2, (2, 5, 5)).astype(np.float32)
    padded = np.pad(bits, [(0, 0), (1, 1), (0, 0)], "symmetric")
    wanted = padded[:, :-2] / 4 + padded[:, 1:-1] / 2 + padded[:, 2:] / 4
    np.testing.assert_allclose(objective._blurred(tf.constant(bits), axis=1), wanted)


def test_losses_and_errors_of_an_evaluation_are_over_what_the_mask_counts():
    model = made()
    whole = batch_of(model, mask=np.array([1, 1, 1, 0, 0, 0], np.float32))
    part = {name: value[:3] for name, value in whole.items() if name != "mask"}
    masked, counted = objective.goodness(model, whole, training=False)
    alone, wanted = objective.goodness(model, part, training=False)
    assert float(masked) == pytest.approx(float(alone), rel=1e-5)
    assert {k: float(v) for k, v in counted.items()} == pytest.approx(
        {k: float(v) for k, v in wanted.items()}, rel=1e-5
    )
    sums = ff.energy(model.goodnesses(part["image"])).numpy()
    assert float(wanted["error"]) == pytest.approx((sums.argmax(1) != LABEL[:3]).mean())
    guesses = model(part["image"]).numpy().argmax(1)
    assert float(wanted["error_softmax"]) == pytest.approx((guesses != LABEL[:3]).mean())


def test_without_labels_the_error_is_the_softmaxs():
    model = made(label="none")
    _, logs = objective.goodness(model, batch_of(model), training=False)
    assert float(logs["error"]) == float(logs["error_softmax"])
    assert "activity_0" not in logs
