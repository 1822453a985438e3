"""Choosing a token, against plain NumPy."""

import re

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from kmodels.core import sampling

draw_graph = tf.function(sampling.draw, reduce_retracing=True)
choose_graph = tf.function(sampling.choose, reduce_retracing=True)
uniform_graph = tf.function(sampling.uniform, reduce_retracing=True)
quick = hypothesis.settings(deadline=None, max_examples=40, derandomize=True)


def options(rows, **given):
    """Every option for every row; what is not given stands at its default."""
    out = {}
    for name, (spec, default) in sampling.OPTIONS.items():
        value = np.broadcast_to(np.asarray(given.get(name, default)), (rows,))
        out[name] = tf.constant(value, spec.dtype)
    return out


def filtered(logits, *, temperature=1.0, top_k=0, top_p=1.0):
    """The distribution that a row is drawn from, float64 [V]."""
    scaled = np.asarray(logits, np.float64) / temperature
    order = np.argsort(-scaled, kind="stable")
    if top_k:
        order = order[:top_k]
    mass = np.exp(scaled[order] - scaled.max())
    mass /= mass.sum()
    before = np.cumsum(mass) - mass
    order, mass = order[before < top_p], mass[before < top_p]
    out = np.zeros(len(scaled))
    out[order] = mass / mass.sum()
    return out


def choose(logits, uniform, **given):
    """One token a row, without any token known yet."""
    rows = len(logits)
    return choose_graph(
        tf.constant(logits, tf.float32),
        tf.zeros([rows, 0], tf.int32),
        tf.zeros([rows, 0], tf.bool),
        tf.constant(uniform, tf.float32),
        options(rows, **given),
    ).numpy()


@quick
@hypothesis.given(
    seed=st.integers(0, 2**32 - 1),
    uniform=st.floats(0, 1, exclude_max=True, width=32),
    temperature=st.sampled_from([0.25, 1.0, 3.0]),
    top_k=st.sampled_from([0, 1, 3, 7, 50]),
    top_p=st.sampled_from([1e-6, 0.3, 0.77, 0.95, 1.0]),
)
def test_draws_are_those_of_the_filtered_distribution(seed, uniform, temperature, top_k, top_p):
    logits = np.random.default_rng(seed).normal(0, 2, [1, 7]).astype(np.float32)
    wanted = filtered(logits[0], temperature=temperature, top_k=top_k, top_p=top_p)
    if top_p < 1:  # a token on the very border may fall on either side
        unfiltered = np.sort(filtered(logits[0], temperature=temperature, top_k=top_k))[::-1]
        hypothesis.assume(np.abs(np.cumsum(unfiltered) - top_p).min() > 1e-4)
    borders = np.cumsum(wanted)
    hypothesis.assume(np.abs(borders - uniform).min() > 1e-5 or uniform == 0)
    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    token = draw_graph(
        tf.constant(logits), tf.constant([uniform], tf.float32), options(1, **given)
    ).numpy()[0]
    assert wanted[token] > 0
    assert token == np.searchsorted(borders, uniform, side="right")


@quick
@hypothesis.given(seed=st.integers(0, 2**32 - 1), penalty=st.sampled_from([0.5, 1.0, 1.3, 4.0]))
def test_the_penalty_is_that_of_the_paper(seed, penalty):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, [3, 9]).astype(np.float32)
    known = rng.integers(0, 9, [3, 5]).astype(np.int32)
    real = rng.random([3, 5]) < 0.6
    penalties = np.array([penalty, 1.0, 2.0], np.float32)
    wanted = logits.copy()
    for row in range(3):
        for token in set(known[row][real[row]].tolist()):
            old = logits[row, token]
            wanted[row, token] = old / penalties[row] if old > 0 else old * penalties[row]
    given = sampling.penalise(tf.constant(logits), known, real, tf.constant(penalties))
    np.testing.assert_allclose(given, wanted, rtol=1e-6)


def test_what_is_as_good_as_greedy():
    rng = np.random.default_rng(1)
    logits, uniform = rng.normal(0, 3, [64, 20]), rng.random(64)
    best = logits.argmax(1)
    assert (choose(logits, uniform) == best).all(), "temperature 0 is the default"
    assert (choose(logits, uniform, temperature=1.0, top_k=1) == best).all()
    assert (choose(logits, uniform, temperature=1.0, top_p=1e-6) == best).all()
    assert (choose(logits, uniform, temperature=1e-4) == best).all()
    assert (choose(logits, uniform, temperature=1.0) != best).any()


def test_each_row_has_its_own_options():
    logits = np.tile([0.0, 1.0, 2.0, 3.0], [4, 1])
    tokens = choose(
        logits,
        [0.0, 0.0, 0.0, 0.999],
        temperature=[0.0, 1.0, 1.0, 1.0],
        top_k=[0, 0, 2, 0],
        top_p=[1.0, 1.0, 1.0, 1.0],
    )
    assert tokens.tolist() == [3, 0, 2, 3]


def test_a_penalty_turns_the_choice_away_from_known_tokens():
    logits = tf.constant([[2.0, 3.0, 1.0]] * 2)
    known = tf.constant([[1], [1]])
    real = tf.constant([[True], [False]])
    given = options(2, repetition_penalty=2.0)
    assert choose_graph(logits, known, real, tf.zeros([2]), given).numpy().tolist() == [0, 1]


def test_equal_logits_at_the_border_of_top_k_do_not_crash():
    tokens = choose(np.zeros([50, 6]), np.linspace(0, 0.999, 50), temperature=1.0, top_k=2)
    assert tokens.min() >= 0 and tokens.max() <= 5


def test_the_largest_random_number_stays_in_the_vocabulary():
    logits = np.random.default_rng(0).normal(0, 1, [1, 1000])
    last = np.nextafter(np.float32(1), np.float32(0))
    assert choose(logits, [last], temperature=1.0)[0] < 1000
    logits[0, -3:] = -1e9  # no mass at the end of the vocabulary
    assert choose(logits, [last], temperature=1.0)[0] < 997


@pytest.mark.parametrize("given", [{}, {"top_k": 3}, {"top_p": 0.7}, {"temperature": 2.0}])
def test_frequencies_are_those_of_the_distribution(given):
    logits = np.array([0.3, -1.0, 1.2, 0.0, 0.7, -0.4])
    count = 4000
    uniform = uniform_graph(tf.range(count, dtype=tf.int64), tf.constant(1))[:, 0]
    tokens = choose(np.tile(logits, [count, 1]), uniform, **{"temperature": 1.0} | given)
    seen = np.bincount(tokens, minlength=len(logits))
    wanted = count * filtered(logits, **given)
    assert (seen[wanted == 0] == 0).all()
    allowed = wanted > 0
    chi_square = ((seen - wanted)[allowed] ** 2 / wanted[allowed]).sum()
    assert chi_square < 20.5, "the 0.999 quantile for 5 degrees of freedom"


def test_random_numbers_depend_on_the_seed_alone_and_longer_draws_begin_with_shorter():
    seeds = tf.constant([7, 0, -1, 2**40, 7], tf.int64)
    long = uniform_graph(seeds, tf.constant(9)).numpy()
    assert (uniform_graph(seeds, tf.constant(5)).numpy() == long[:, :5]).all()
    assert (uniform_graph(seeds[2:3], tf.constant(9)).numpy() == long[2]).all()
    assert (long[0] == long[4]).all()
    assert len({row.tobytes() for row in long[:4]}) == 4
    assert long.min() >= 0 and long.max() < 1


def test_log_probabilities_are_those_of_softmax():
    logits = np.random.default_rng(2).normal(0, 3, [2, 3, 5]).astype(np.float32)
    tokens = np.array([[0, 4, 2], [1, 1, 3]], np.int32)
    exact = logits - np.log(np.exp(logits.astype(np.float64)).sum(-1, keepdims=True))
    wanted = np.take_along_axis(exact, tokens[..., None], -1)[..., 0]
    np.testing.assert_allclose(sampling.log_prob(logits, tokens), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("temperature", -0.5, "temperature must be at least 0 (0 is greedy)"),
        ("temperature", float("nan"), "temperature must be at least 0"),
        ("top_k", -1, "top_k must be at least 0 (0 is off)"),
        ("top_p", 0.0, "top_p must lie in (0, 1] (1 is off)"),
        ("top_p", 1.5, "top_p must lie in (0, 1] (1 is off)"),
        ("repetition_penalty", 0.0, "repetition_penalty must be above 0 (1 is off)"),
    ],
)
def test_an_option_out_of_range_is_answered_with_one_sentence(name, value, sentence):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        sampling.check_options(options(1, **{name: value}))
    assert sentence in str(caught.value)
    assert re.search(rf"given:? {value:g}", str(caught.value)), "what was given is said"
