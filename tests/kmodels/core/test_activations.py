import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels.core import activations


@pytest.mark.parametrize("way", ["eager", "compiled", "half"])
@pytest.mark.parametrize("approximate", [True, False])
def test_gelu_its_slope_and_the_slope_of_that_are_those_of_keras(approximate, way):
    half = way == "half"
    x = tf.concat([tf.linspace(-12.0, 12.0, 240), [0.0, -200.0, 200.0]], 0)

    def all_of(gelu, x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = gelu(x, approximate=approximate)
            slope = inner.gradient(y, x)
        return y, slope, outer.gradient(slope, x)

    def ours(x):
        return all_of(activations.gelu, x)

    compute = tf.function(ours, jit_compile=True) if way == "compiled" else ours
    found = compute(tf.cast(x, tf.bfloat16) if half else x)
    for given, wanted in zip(found, all_of(keras.ops.gelu, x), strict=True):
        assert given.dtype == (tf.bfloat16 if half else tf.float32)
        off = np.abs(tf.cast(given, tf.float32) - wanted) / np.maximum(1, np.abs(x))
        assert off.max() < (3e-2 if half else 2e-6)
