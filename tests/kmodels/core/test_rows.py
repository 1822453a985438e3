"""A row's noise and refusals are its own."""

import numpy as np
import pytest
import tensorflow as tf

from kmodels.core import rows


@pytest.mark.parametrize("draw", [rows.normal, rows.uniform])
def test_a_row_is_drawn_alike_alone_and_in_company(draw):
    seeds = tf.constant([5, -(2**63), 2**63 - 1, 5], tf.int64)
    drawn = tf.function(draw, autograph=False)(seeds, [3, 2])
    assert drawn.shape == (4, 3, 2)
    for row in range(4):
        np.testing.assert_array_equal(draw(seeds[row : row + 1], [3, 2])[0], drawn[row])
    np.testing.assert_array_equal(drawn[0], drawn[3])
    assert len({drawn[i].numpy().tobytes() for i in range(3)}) == 3
    assert (draw(seeds, [3, 2], turn=1).numpy() != drawn.numpy()).all()


def test_noise_is_normal_and_uniform():
    seeds = tf.range(400, dtype=tf.int64)
    normal, uniform = (draw(seeds, [250]).numpy() for draw in (rows.normal, rows.uniform))
    assert abs(normal.mean()) < 0.02 and abs(normal.std() - 1) < 0.02
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.01
    between = np.corrcoef(normal[:, :-1].ravel(), normal[:, 1:].ravel())[0, 1]
    assert abs(between) < 0.02, "numbers of a row have nothing to do with each other"


def test_an_option_is_spread_over_the_rows():
    once, each = (rows.spread(tf.constant(v), tf.constant(3)) for v in ([7], [1, 2, 3]))
    assert once.numpy().tolist() == [7, 7, 7] and each.numpy().tolist() == [1, 2, 3]
    with pytest.raises(tf.errors.InvalidArgumentError, match="one a row; given 2"):
        rows.spread(tf.constant([1, 2]), tf.constant(3))


def test_a_refusal_names_the_row():
    given = tf.constant([4, 0, -1])
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        rows.check(given >= 1, "steps", given, "be at least 1")
    assert "steps of row 1 is 0; it must be at least 1." in str(error.value)
    assert rows.check(given < 9, "steps", given, "be below 9") == []
    numbers = tf.constant([[[1.0]], [[2.0]], [[float("nan")]]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="latent of row 2 holds a number"):
        rows.check_finite("latent", numbers)
    assert rows.check_finite("latent", numbers[:2]) == []


def test_no_rows_are_all_right():
    assert rows.check(tf.zeros([0], tf.bool), "steps", tf.zeros([0], tf.int32), "be 1") == []
    assert rows.check_finite("latent", tf.zeros([0, 3])) == []


def test_one_by_one_is_each_row_by_itself():
    asked = []

    def function(a, b):
        asked.append(tuple(a.shape))
        return tf.cast(a, tf.float32) * b + tf.cast(tf.shape(a)[0], tf.float32)

    a, b = tf.constant([1, 2, 3]), tf.constant([0.5, 2.0, -1.0])
    given = tf.function(lambda: rows.one_by_one(function, (a, b), []), autograph=False)()
    assert given.numpy().tolist() == [1.5, 5.0, -2.0]
    assert set(asked) == {(1,)}


def test_a_row_alone_is_multiplied_as_in_company():
    """Also where a vector's product has other last bits; a batch of nothing stays one."""
    rng = np.random.default_rng(0)
    matrix, given = (tf.constant(rng.normal(size=(n, 700)), tf.float32) for n in (700, 5))

    def network(rows):
        made = tf.matmul(rows, matrix)
        return {"made": made, "twice": 2 * made}

    answer = tf.function(
        lambda x: rows.together(network, x), autograph=False, reduce_retracing=True
    )
    whole = answer(given)
    for row in range(5):
        alone = answer(given[row : row + 1])
        for name, value in alone.items():
            np.testing.assert_array_equal(value, whole[name][row : row + 1])
    np.testing.assert_allclose(whole["made"], given @ matrix, rtol=1e-4, atol=1e-3)
    assert answer(given[:0])["twice"].shape == (0, 700)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 15])
def test_groups_have_at_most_so_many_rows_and_leave_none_out(count):
    def function(a, b):
        return tf.cast(a[:, None], tf.float32) * b + tf.cast(tf.shape(a)[0] * 100, tf.float32)

    a, b = tf.range(count), tf.ones([count, 2])
    given = rows.in_groups(function, (a, b), (2,), most=3).numpy()
    halves = [(count + 1) // 2, count // 2]
    sizes = [min(3, half - at) for half in halves for at in range(0, half, 3)]
    of_row = np.repeat(sizes, np.array(sizes, int))
    assert given[:, 0].tolist() == [i + 100 * size for i, size in enumerate(of_row)]
    assert given.shape == (count, 2)
