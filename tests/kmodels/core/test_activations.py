import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels.core import activations

CASES = {
    "gelu": (activations.gelu, keras.ops.gelu, {"approximate": False}),
    "gelu_tanh": (activations.gelu, keras.ops.gelu, {"approximate": True}),
    "silu": (activations.silu, keras.ops.silu, {}),
}


@pytest.mark.parametrize("way", ["eager", "compiled", "half"])
@pytest.mark.parametrize("name", CASES)
def test_an_activation_its_slope_and_the_slope_of_that_are_those_of_keras(name, way):
    given, wanted, options = CASES[name]
    half = way == "half"
    x = tf.concat([tf.linspace(-12.0, 12.0, 240), [0.0, -200.0, 200.0]], 0)

    def all_of(function, x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = function(x, **options)
            slope = inner.gradient(y, x)
        return y, slope, outer.gradient(slope, x)

    def ours(x):
        return all_of(given, x)

    compute = tf.function(ours, jit_compile=True) if way == "compiled" else ours
    found = compute(tf.cast(x, tf.bfloat16) if half else x)
    for y, keras_y in zip(found, all_of(wanted, x), strict=True):
        assert y.dtype == (tf.bfloat16 if half else tf.float32)
        off = np.abs(tf.cast(y, tf.float32) - keras_y) / np.maximum(1, np.abs(x))
        assert off.max() < (3e-2 if half else 2e-6)
