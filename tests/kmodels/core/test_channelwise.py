"""Places know of each other, channels do not."""

import keras
import numpy as np
import pytest

from kmodels.core.channelwise import ChannelwiseDense


def test_it_is_a_linear_layer_over_places_for_each_channel():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    layer = ChannelwiseDense(name="channelwise")
    made = np.asarray(layer(x)).reshape(2, 12, 5)
    kernel = np.asarray(layer.kernel)
    for channel in range(5):
        wanted = x[..., channel].reshape(2, 12) @ kernel[channel]
        np.testing.assert_allclose(made[..., channel], wanted, rtol=1e-5, atol=1e-5)


def test_it_has_the_weights_of_section_3_1_and_keeps_the_size_of_what_it_mixes():
    """m n^4 of them: 331,776 for AlexNet's 256 maps of 6 x 6, where all to all are 84.9 million."""
    keras.utils.set_random_seed(0)
    layer = ChannelwiseDense(name="channelwise")
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 256)).astype(np.float32)
    assert np.std(layer(x)) == pytest.approx(1.0, rel=0.1)
    assert layer.count_params() == 331_776 and len(layer.weights) == 1
