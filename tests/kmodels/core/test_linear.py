"""A linear map answers the same from its kernel and from its blocks."""

import numpy as np
import pytest
import tensorflow as tf

from kmodels.core.linear import BLOCK, Linear


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (2, 5)])
def test_blocks_give_what_the_kernel_gives(shape, bias):
    layer = Linear(2 * BLOCK, use_bias=bias, bias_initializer="random_normal")
    x = tf.random.stateless_normal((*shape, 24), seed=(1, 2))
    plain = layer(x)
    layer.pack()
    assert layer.blocks.shape == (2, 24, BLOCK)
    packed = tf.function(layer)(x)
    assert packed.shape == plain.shape
    np.testing.assert_allclose(packed, plain, atol=1e-5)


def test_a_width_of_no_whole_blocks_stays_as_it_is():
    layer = Linear(BLOCK + 1)
    layer(tf.zeros((1, 4)))
    layer.pack()
    assert layer.blocks is None
