"""The errors of what is made in NumPy, and whose turn moves what."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import context_encoder
from tests.golden import generate as golden
from training import draws
from training.objectives.inpainting import inpainting
from training.step import WEIGHT, judge

TINY = context_encoder.PRESETS["tiny"]
REGIONS = dataclasses.replace(TINY, missing="regions", overlap=0)
ALONE = dataclasses.replace(REGIONS, adversarial=0.0, context=0.0)


@pytest.fixture(params=[TINY, REGIONS, ALONE], ids=["centre", "regions", "alone"])
def model(request, lively):
    keras.utils.set_random_seed(0)
    return lively(context_encoder.build(request.param), stddev=0.3)


def batch_of(model, rows=3, *, seed=0):
    rng = np.random.default_rng(seed)
    image = tf.constant(rng.uniform(-1, 1, (rows, 16, 16, 1)), tf.float32)
    return draws.added({"image": image}, model, training=False)


def weights(model, batch):
    """How much each pixel of what is made counts, and whether it is missing, by loops."""
    config, missing = model.config, model.missing(batch).numpy()[..., 0]
    side, first = config.part, (16 - config.part) // 2
    counts = np.zeros((len(missing), side, side))
    gone = np.zeros_like(counts, bool)
    for row, y, x in np.ndindex(counts.shape):
        if config.missing == "centre":
            inside = 1 <= y < side - 1 and 1 <= x < side - 1  # the overlap is 1
        else:
            inside = missing[row, first + y, first + x]
        gone[row, y, x] = inside
        counts[row, y, x] = 1 if inside else config.context
    return counts, gone


def test_losses_are_those_of_the_formulas(model):
    batch, config = batch_of(model), model.config
    share = config.adversarial
    holed = model.holed(batch["image"], model.missing(batch))
    made, real = model(holed).numpy(), model.part(batch["image"]).numpy()
    counts, gone = weights(model, batch)
    assert set(np.unique(counts)) == {1, config.context}
    error = (counts[..., None] * (made - real) ** 2).mean()
    away = np.where(gone[..., None], (made - real) / 2, 0).sum(-1)
    l1, l2 = ([v[i].sum() / gone[i].sum() for i in range(3)] for v in (np.abs(away), away**2))
    blank = np.where(gone[..., None], 78 / 127.5 - 1 - real, 0)[..., 0] / 2
    unfilled = [-10 * np.log10((blank[i] ** 2).sum() / gone[i].sum()) for i in range(3)]
    loss, logs = inpainting(model, batch, training=False, player="generator")
    forged = error
    if share:
        said, taken = (
            1 / (1 + np.exp(-model.discriminator(x).numpy().astype(float))) for x in (real, made)
        )
        forged = (1 - share) * error - share * np.log(taken).mean()
        game, more = inpainting(model, batch, training=False)
        assert float(game) == pytest.approx(-(np.log(said) + np.log(1 - taken)).mean(), rel=1e-4)
        assert float(more["real"]) == pytest.approx(said.mean(), rel=1e-4)
        assert float(more["generator_loss"]) == pytest.approx(forged, rel=1e-4)
    assert float(loss) == pytest.approx(forged, rel=1e-4)
    wanted = {
        "l1": np.mean(l1),
        "l2": np.mean(l2),
        "psnr": np.mean(-10 * np.log10(l2)),
        "psnr_unfilled": np.mean(unfilled),
        WEIGHT: 3,
    }
    assert {k: float(logs[k]) for k in wanted} == pytest.approx(wanted, rel=1e-4)


def test_the_band_counts_ten_times_and_is_four_pixels_wide_in_the_program():
    config = dataclasses.replace(
        context_encoder.PRESETS["centre-128"], widths=(1,) * 5, bottleneck=1
    )
    model = context_encoder.build(config)
    gone = model.part(model.missing({"image": tf.zeros([1, 128, 128, 3])})).numpy()[0, ..., 0]
    assert gone.shape == (64, 64) and gone[4:-4, 4:-4].all() and gone.sum() == 56**2
    assert config.context == 10 and config.adversarial == 0.001


def test_an_evaluation_counts_rows_once(model):
    whole = batch_of(model)
    padded = {k: tf.concat([v, 0 * v[:2]], 0) for k, v in whole.items()}
    padded["mask"] = tf.constant([1.0] * 3 + [0.0] * 2)
    for name, value in inpainting(model, whole, training=False)[1].items():
        again = inpainting(model, padded, training=False)[1][name]
        assert float(again) == pytest.approx(float(value), rel=1e-4), name


def test_a_perfect_answer_has_a_finite_ratio(model):
    batch = batch_of(model)
    model.generator = lambda holed, training: model.part(batch["image"])
    _, logs = inpainting(model, batch, training=False, player="generator")
    assert float(logs["l1"]) == 0 and float(logs["psnr"]) == pytest.approx(100)


@pytest.mark.parametrize("config", [TINY, ALONE])
def test_compiled_it_says_the_same(config):
    keras.utils.set_random_seed(0)
    model = context_encoder.build(config)
    image = {"image": tf.random.stateless_uniform([4, 16, 16, 1], [1, 2], -1, 1)}
    plain, compiled = (judge(inpainting, model, image, compile=c) for c in (False, True))
    for name, value in plain.items():
        assert float(compiled[name]) == pytest.approx(float(value), rel=1e-4), name


@pytest.mark.parametrize("player", ["generator", "discriminator"])
@pytest.mark.parametrize("config", [TINY, REGIONS], ids=["centre", "regions"])
def test_only_the_player_whose_turn_it_is_moves(config, player):
    learner = golden.learner_of("context_encoder", config)
    batch = golden.batch_of("context_encoder", config)
    other = {"generator": "discriminator", "discriminator": "generator"}[player]
    networks = {name: getattr(learner.model, name).trainable_variables for name in (player, other)}
    before = {name: [v.numpy() for v in held] for name, held in networks.items()}
    tf.function(lambda: learner.turn(player, batch), autograph=False)()
    moved = {
        name: {v.path: not np.array_equal(a, v) for a, v in zip(before[name], held, strict=True)}
        for name, held in networks.items()
    }
    assert not any(moved[other].values())
    assert all(moves != path.endswith("bias") for path, moves in moved[player].items())


def test_without_a_discriminator_one_network_learns_what_is_missing():
    learner = golden.learner_of("context_encoder", ALONE)
    batch = golden.batch_of("context_encoder", ALONE)
    before = float(learner.eval_step(batch)["l2"])
    values = list(golden.losses(learner, batch, 30))
    assert values[-1] < 0.9 * values[0]
    assert "generator_loss" not in learner.eval_step(batch)
    assert float(learner.eval_step(batch)["l2"]) != before
