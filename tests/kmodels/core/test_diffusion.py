"""The process against published numbers, diffusers, and data whose best prediction is known."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf

from kmodels.core import diffusion, rows
from tests.kmodels.parity import ddpm as parity

STORED = json.loads(parity.FILE.read_text())
LINEAR = diffusion.Process.of("linear", 1000)
SHORT = diffusion.Process.of("cosine", 20)


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [("linear", (0.9999, 0.078587, 4.0358e-5)), ("cosine", (0.999959, 0.493844, 2.4287e-9))],
)
def test_alpha_bars_are_the_published_ones(schedule, wanted):
    process = diffusion.Process.of(schedule, 1000)
    given = process.alpha_bar(tf.constant([0, 499, 999, -1])).numpy()
    assert given[:3].tolist() == pytest.approx(wanted, rel=1e-4) and given[3] == 1
    assert (np.diff(process.alpha_bars) < 0).all() and process.steps == 1000


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_steps_are_those_of_diffusers(eta):
    x = tf.constant(parity.normal("start", 4))[None]
    for i in (0, parity.STEPS // 2, parity.STEPS - 1):
        times = tf.constant(STORED["times"][i : i + 1])
        clean = LINEAR.cleaned(x, tf.constant(parity.normal(f"noise {i}", 4))[None], times)
        fresh = tf.constant(parity.normal(f"fresh {i}", 4))[None]
        x = LINEAR.back(
            x, clean, times, before=times - 1000 // 37, eta=tf.constant([eta]), fresh=fresh
        )
    np.testing.assert_allclose(x[0], STORED[f"eta {eta}"], atol=1e-5)


def test_times_are_evenly_spread_and_end_at_the_data():
    steps = tf.constant([37, 1, 1000])
    at = [[], [], []]
    for turn in range(1000):
        now, then = (v.numpy() for v in diffusion.visited(LINEAR, steps, tf.constant(turn)))
        for row, count in enumerate(steps.numpy()):
            if turn < count:
                assert not at[row] or at[row][-1] == now[row], "it stands where it went"
                at[row] = [*at[row][:-1], int(now[row]), int(then[row])]
    assert at[0] == [*STORED["times"], -1]
    assert at[1] == [999, -1]
    assert at[2] == list(range(999, -2, -1))


@pytest.mark.parametrize("count", [1, 2, 10, 50, 300])
def test_quadratic_times_are_those_of_the_authors(count):
    steps, quadratic = tf.constant([count, count]), tf.constant([True, False])
    at = []
    for turn in range(count):
        both = diffusion.visited(LINEAR, steps, tf.constant(turn), quadratic=quadratic)
        now, then = (v.numpy() for v in both)
        even = diffusion.visited(LINEAR, steps, tf.constant(turn))
        assert [now[1], then[1]] == [v.numpy()[1] for v in even]
        assert not at or at[-1] == now[0], "it stands where it went"
        at = [*at[:-1], int(now[0]), int(then[0])]
    first = np.sqrt(800) if count == 1 else 0  # a turn that begins at the data would make nothing
    theirs = np.linspace(first, np.sqrt(800), count) ** 2
    assert at[-1] == -1
    np.testing.assert_allclose(at[-2::-1], np.floor(theirs + 1e-9))


def test_turns_at_the_same_time_change_nothing():
    process = diffusion.Process.of("linear", 20)
    x, steps = tf.constant([[0.3, -0.8]]), tf.constant([20])
    seen = []
    for turn in range(20):
        times, before = diffusion.visited(
            process, steps, tf.constant(turn), quadratic=tf.constant([True])
        )
        if times.numpy() == before.numpy():
            seen.append(turn)
            clean = process.cleaned(x, 0.5 * x, times)
            fresh = tf.ones_like(x)
            for eta in (0.0, 1.0):
                moved = process.back(
                    *(x, clean, times), before=before, eta=tf.constant([eta]), fresh=fresh
                )
                np.testing.assert_allclose(moved, x, atol=1e-7)
    assert seen


def ddpm(process, predict, start, seed, *, large):
    """Algorithm 2 of the paper in NumPy, float64, from its betas: no times are left out."""
    bars = process.alpha_bars[1:]
    before = np.concatenate([[1.0], bars[:-1]])
    betas = 1 - bars / before
    x = start
    for t in reversed(range(len(bars))):
        noise = predict(tf.constant(x, tf.float32), tf.fill([1], t)).numpy()
        clean = np.clip((x - np.sqrt(1 - bars[t]) * noise) / np.sqrt(bars[t]), -1, 1)
        mean = np.sqrt(before[t]) * betas[t] * clean + np.sqrt(1 - betas[t]) * (1 - before[t]) * x
        mean = mean / (1 - bars[t])
        variance = betas[t] * (1 if large else (1 - before[t]) / (1 - bars[t]))
        fresh = rows.normal(seed, x.shape[1:], turn=len(bars) - t).numpy()
        x = mean + (t > 0) * np.sqrt(variance) * fresh
    return x


@pytest.mark.parametrize("variance", ["small", "large"])
def test_eta_1_and_all_steps_is_ddpm(variance):
    process = diffusion.Process.of("cosine", 20, variance=variance)

    def predict(x, times):
        return tf.sin(3 * x) + 0.01 * tf.cast(times, tf.float32)[:, None]

    seed = tf.constant([4], tf.int64)
    start = rows.normal(seed, [5])
    made = diffusion.sample(
        process, predict, start, seeds=seed, steps=tf.constant([20]), eta=tf.constant([1.0])
    )
    wanted = ddpm(process, predict, start.numpy(), seed, large=variance == "large")
    np.testing.assert_allclose(made, wanted, atol=2e-5)


MEAN, FACTOR = np.array([0.3, -0.5]), np.array([[0.4, 0.0], [0.3, 0.2]])
COVARIANCE = FACTOR @ FACTOR.T


def best(process):
    """The noise that is to be expected in x_t of normal data, in closed form."""

    def predict(x, times):
        bar = tf.cast(process.alpha_bar(times), tf.float32)[:, None]
        away = x - tf.sqrt(bar) * tf.constant(MEAN, tf.float32)
        spread = bar[..., None] * tf.constant(COVARIANCE, tf.float32)
        spread += (1 - bar[..., None]) * tf.eye(2)
        return tf.sqrt(1 - bar) * tf.linalg.solve(spread, away[..., None])[..., 0]

    return predict


def ddim_covariance(process, steps):
    """What DDIM makes of noise in so many steps: each is linear along the data's own axes."""
    values, axes = np.linalg.eigh(COVARIANCE)
    stretched = np.ones(2)
    times = [*range(process.steps - 1, -1, -process.steps // steps), -1]
    for now, then in itertools.pairwise(times):
        bar, before = process.alpha_bars[now + 1], process.alpha_bars[then + 1]
        noise = np.sqrt(1 - bar) / (bar * values + 1 - bar)
        clean = (1 - np.sqrt(1 - bar) * noise) / np.sqrt(bar)
        stretched *= np.sqrt(before) * clean + np.sqrt(1 - before) * noise
    return axes * stretched**2 @ axes.T


@pytest.mark.parametrize(("steps", "eta"), [(200, 1.0), (200, 0.0), (200, 0.5), (50, 0.0)])
def test_samples_of_normal_data_have_their_mean_and_covariance(steps, eta, monkeypatch):
    """In a quarter of the steps DDIM takes a coarser path, whose end is known too."""
    process, count = diffusion.Process.of("cosine", 200), 4000
    seeds = tf.range(count, dtype=tf.int64)
    start = tf.random.stateless_normal([count, 2], [1, 2])

    def draw():
        return diffusion.sample(
            process,
            best(process),
            start,
            seeds=seeds,
            steps=tf.fill([count], steps),
            eta=tf.fill([count], eta),
            clip=None,
        )

    monkeypatch.setattr(rows, "normal", quick)
    made = tf.function(draw, autograph=False)().numpy()
    np.testing.assert_allclose(made.mean(axis=0), MEAN, atol=0.03)
    wanted = ddim_covariance(process, steps) if steps < process.steps else COVARIANCE
    np.testing.assert_allclose(np.cov(made.T), wanted, atol=0.012)


def quick(seeds, shape, turn):
    """One draw for all rows: a row's own is not in question where thousands are counted."""
    return tf.random.stateless_normal([tf.size(seeds), *shape], tf.stack([7, turn]))


def test_a_row_takes_its_own_steps_and_eta_in_company():
    def predict(x, times):
        return tf.tanh(x) * tf.cast(times + 1, tf.float32)[:, None] / 20

    seeds, steps = tf.constant([3, 3, 8], tf.int64), tf.constant([4, 20, 7])
    eta = tf.constant([1.0, 1.0, 0.0])
    start = rows.normal(seeds, [6])

    def made(part):
        return diffusion.sample(
            SHORT, predict, start[part], seeds=seeds[part], steps=steps[part], eta=eta[part]
        ).numpy()

    together = made(slice(None))
    for row in range(3):
        np.testing.assert_array_equal(together[row], made(slice(row, row + 1))[0])
    assert not np.allclose(together[0], together[1]), "the same seed in fewer steps"
    np.testing.assert_array_equal(together, made(slice(None)))


def test_the_arc_between_noises_ends_at_both_and_keeps_their_length():
    first, second = tf.random.stateless_normal([2, 3, 400], [1, 2])
    for weight, wanted in ((0.0, first), (1.0, second)):
        given = diffusion.between(first, second, tf.fill([3], weight))
        np.testing.assert_allclose(given, wanted, atol=1e-6)
    half = diffusion.between(first, second, tf.fill([3], 0.5)).numpy()
    assert np.abs(half.std(axis=1) - 1).max() < 0.1
    np.testing.assert_allclose(diffusion.between(first, first, tf.fill([3], 0.5)), first, atol=1e-6)


def test_what_is_held_is_the_known_at_the_end():
    seeds = tf.constant([1, 2], tf.int64)
    known = tf.constant([[0.5, -0.25, 1.0], [0.0, 0.1, 0.2]])
    new = tf.constant([[False, True, False], [True, True, False]])
    made = diffusion.sample(
        SHORT,
        lambda x, times: x,
        rows.normal(seeds, [3]),
        seeds=seeds,
        steps=tf.constant([5, 20]),
        eta=tf.ones([2]),
        hold=diffusion.holding(SHORT, known, new, seeds),
    )
    np.testing.assert_array_equal(made[~new], known[~new])
    assert (made[new].numpy() != known[new].numpy()).all()
