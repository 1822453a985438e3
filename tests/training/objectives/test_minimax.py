"""The game's losses against the formulas, and at the optimum that the paper proves."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import gan
from training import step
from training.objectives.minimax import minimax
from training.objectives.non_saturating import non_saturating

SYMBOLS = 3


def table(logits=(0.0,) * SYMBOLS, *, packing=1):
    """A game over symbols: what is made is the latent, the discriminator is a logit a symbol."""
    latents = keras.Input((SYMBOLS,))
    made = keras.Model(latents, keras.layers.Identity()(latents))
    seen = keras.Input((SYMBOLS * packing,))
    judge = keras.layers.Dense(1, use_bias=False)
    model = gan.Adversaries(
        made,
        keras.Model(seen, judge(seen)),
        prior=gan.Prior("normal", SYMBOLS),
        packing=packing,
        name="table",
    )
    judge.kernel.assign(np.tile(logits, packing)[:, None])
    return model


def symbols(*counts):
    """Each symbol as often as its count, float32 [n, SYMBOLS]."""
    return tf.constant(np.eye(SYMBOLS, dtype=np.float32).repeat(counts, axis=0))


def batch(real, fake, **more):
    return {"features": symbols(*real), "latent": symbols(*fake), **more}


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("objective", [minimax, non_saturating])
def test_losses_are_those_of_the_formulas(objective, player):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, SYMBOLS)
    d = 1 / (1 + np.exp(-logits))
    p, q = np.array([1, 3, 4]) / 8, np.array([5, 2, 1]) / 8
    wanted = {
        "discriminator": -(p @ np.log(d) + q @ np.log(1 - d)),
        "generator": q @ np.log(1 - d) if objective is minimax else -q @ np.log(d),
    }
    given = batch((1, 3, 4), (5, 2, 1))
    loss, logs = objective(table(logits), given, training=True, player=player)
    assert float(loss) == pytest.approx(wanted[player], rel=1e-5)
    assert float(logs["generator_loss"]) == pytest.approx(wanted["generator"], rel=1e-5)
    assert float(logs["fake"]) == pytest.approx(q @ d, rel=1e-5)
    assert float(logs[step.WEIGHT]) == 8
    if player == "discriminator":
        assert float(logs["real"]) == pytest.approx(p @ d, rel=1e-5)


def test_a_trained_discriminator_is_p_over_p_and_q_and_the_value_that_of_theorem_1():
    """-V = log 4 - 2 JSD(p, q), which is log 4 where both are alike (proposition 1)."""
    for real, fake in (((4, 2, 2), (1, 3, 4)), ((2, 5, 1), (2, 5, 1))):
        model, given = table((1.0, -1.0, 0.5)), batch(real, fake)
        (kernel,) = model.discriminator.trainable_variables

        @tf.function(autograph=False)
        def trained(model=model, given=given, kernel=kernel):
            with tf.GradientTape() as tape:
                loss, _ = minimax(model, given, training=True)
            kernel.assign_sub(5.0 * tape.gradient(loss, kernel.value))
            return loss

        for _ in range(300):
            loss = trained()
        p, q = np.array(real) / 8, np.array(fake) / 8
        said = tf.sigmoid(model.judge(symbols(1, 1, 1)))
        np.testing.assert_allclose(said, p / (p + q), atol=1e-4)
        jsd = (p @ np.log(2 * p / (p + q)) + q @ np.log(2 * q / (p + q))) / 2
        assert float(loss) == pytest.approx(np.log(4) - 2 * jsd, abs=1e-5)
    assert float(loss) == pytest.approx(np.log(4), abs=1e-6)


def test_where_the_discriminator_is_sure_only_one_generator_learns():
    model, slopes = table((-20.0, -20.0, -20.0)), []
    for objective in (minimax, non_saturating):
        latent = symbols(1, 1, 1)
        with tf.GradientTape() as tape:
            tape.watch(latent)
            given = {"features": symbols(1, 1, 1), "latent": latent}
            loss, _ = objective(model, given, training=True, player="generator")
        slopes.append(np.abs(tape.gradient(loss, latent)).max())
    assert slopes[0] < 1e-6 < 1 < slopes[1]


def test_real_and_made_examples_are_normalised_apart():
    """So a shift of all real examples goes unseen, which in one batch would tell them apart."""
    keras.utils.set_random_seed(0)
    latents = keras.Input((2,))
    seen = keras.Input((2,))
    norm = keras.layers.BatchNormalization(momentum=0.5)
    model = gan.Adversaries(
        keras.Model(latents, keras.layers.Dense(2)(latents)),
        keras.Model(seen, keras.layers.Dense(1)(norm(seen))),
        prior=gan.Prior("normal", 2),
        name="normalised",
    )
    real, latent = tf.random.stateless_normal((2, 8, 2), seed=(0, 1))
    here, _ = minimax(model, {"features": real, "latent": latent}, training=True)
    norm.moving_mean.assign([0.0, 0.0])
    there, _ = minimax(model, {"features": real + 50, "latent": latent}, training=True)
    assert float(here) == pytest.approx(float(there), abs=1e-4)
    fake = model.generator(latent)
    means = [tf.reduce_mean(rows, axis=0) for rows in (fake, real + 50)]
    np.testing.assert_allclose(norm.moving_mean, 0.25 * means[0] + 0.5 * means[1], rtol=1e-5)


def test_an_evaluation_counts_rows_once():
    whole = batch((1, 3, 4), (5, 2, 1), mask=tf.ones([8]))
    padded = {**whole, "mask": tf.ones([11])}
    padded["features"] = tf.concat([whole["features"], symbols(3, 0, 0)], 0)
    padded["mask"] = tf.concat([tf.ones([8]), tf.zeros([3])], 0)
    model = table((1.0, 0.0, -1.0))
    for name, value in minimax(model, whole, training=False)[1].items():
        assert float(minimax(model, padded, training=False)[1][name]) == pytest.approx(
            float(value), rel=1e-5
        ), name


def test_packs_count_where_all_their_examples_do():
    given = batch((4, 0, 4), (2, 2, 4), mask=tf.constant([1.0] * 5 + [0.0] * 3))
    _, logs = minimax(table(packing=2), given, training=False)
    assert float(logs[step.WEIGHT]) == 4
