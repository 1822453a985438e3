"""Linear maps answer the same from their kernels, from blocks, and from halves."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels.core import linear


def numbers(*shape, seed=1):
    return tf.random.stateless_normal(shape, seed=(seed, 2))


@pytest.mark.parametrize("width", [1, 64, 193, 389, 768, 1000], ids="{}".format)
@pytest.mark.parametrize("shape", [(1,), (3,), (2, 5), (1, 1)], ids=str)
def test_blocks_give_what_the_kernel_gives(shape, width):
    kernel, bias, x = numbers(24, width), numbers(width, seed=2), numbers(*shape, 24, seed=3)
    packed = tf.function(linear.Blocks(kernel, bias), autograph=False)(x)
    plain = tf.reshape(tf.matmul(tf.reshape(x, [-1, 24]), kernel), [*shape, width]) + bias
    assert packed.shape == plain.shape
    np.testing.assert_allclose(packed, plain, atol=1e-5)


@pytest.mark.parametrize(
    ("width", "columns"), [(64, 64), (389, 389), (768, 64), (1000, 50), (1600, 64), (1046, 1046)]
)
def test_blocks_have_at_most_64_columns_or_are_one(width, columns):
    blocks = linear.Blocks(tf.zeros((2, width)), None).blocks
    assert blocks.shape == (width // columns, 2, columns)


def test_a_row_that_the_graph_knows_to_be_alone_has_an_operation_of_its_own():
    blocks = linear.Blocks(numbers(24, 768), None)

    def operations(rows):
        spec = tf.TensorSpec([rows, 24])
        graph = tf.function(blocks, autograph=False).get_concrete_function(spec).graph
        return {o.type for o in graph.get_operations()} & {"BatchMatMulV2", "BatchMatMulV3"}

    assert operations(1) == {"BatchMatMulV3"}
    assert operations(None) == {"BatchMatMulV2"}


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "plain"])
@pytest.mark.parametrize(
    ("groups", "units", "unit", "parts"), [(3, 4, 8, 2), (3, 5, 8, 2), (1, 7, 1, 2), (3, 1, 8, 1)]
)
def test_halves_add_up_to_the_whole(groups, units, unit, parts, bias):
    inner = units * unit
    first = keras.layers.Dense(groups * inner, use_bias=bias, bias_initializer="random_normal")
    second = keras.layers.Dense(6, use_bias=bias, bias_initializer="random_normal")
    first.build((None, 9))
    second.build((None, inner))

    def between(y):  # treats each unit alone, and its groups together
        y = tf.reshape(y, [4, groups, -1, unit])
        return tf.reshape(tf.reduce_sum(tf.nn.softmax(y), 1), [4, -1])

    x = numbers(4, 9)
    pairs = linear.halves(first, second, groups=groups, unit=unit)
    assert len(pairs) == parts
    answer = tf.add_n([down(between(up(x))) for up, down in pairs])
    np.testing.assert_allclose(answer, second(between(first(x))), atol=1e-5)


def test_kernels_for_one_position_give_what_the_others_give():
    q, k = numbers(2, 3, 1, 8), numbers(2, 3, 5, 8, seed=2)
    product, softmax = linear.kernels(q)
    others = (tf.matmul, tf.nn.softmax)
    assert (product, softmax) != others == linear.kernels(k) == linear.kernels(tf.cast(q, "half"))
    scores = product(q, k, transpose_b=True)
    np.testing.assert_allclose(scores, tf.matmul(q, k, transpose_b=True), atol=1e-5)
    weights = softmax(scores)
    np.testing.assert_allclose(weights, tf.nn.softmax(scores), atol=1e-6)
    np.testing.assert_allclose(product(weights, k), tf.matmul(weights, k), atol=1e-5)
