"""Sheets of generated pictures: each in its place, whole pixels, lines between."""

import numpy as np
import pytest
import tensorflow as tf

from kmodels.core.paper import Endpoint
from training.evaluators import generated


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_lie_in_rows(channels):
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3, channels), np.uint8)
    sheet = generated.tiled(images, 2)
    times = generated.LEAST // 8
    assert sheet.shape == (3 * 5 * times, 2 * 4 * times, 3) and sheet.dtype == np.uint8
    small = sheet[::times, ::times]
    for i, image in enumerate(images):
        row, column = divmod(i, 2)
        place = small[5 * row : 5 * row + 4, 4 * column : 4 * column + 3]
        np.testing.assert_array_equal(place, np.broadcast_to(image, (4, 3, 3)))
    assert (small[4] == generated.GREY).all() and (small[10:, 4:] == generated.GREY).all()


def test_large_pictures_are_not_enlarged():
    assert generated.tiled(np.zeros((2, 300, 300, 3), np.uint8), 2).shape == (301, 602, 3)


def test_seeds_are_counted_from_nought():
    def generate(seed):
        values = tf.cast(seed, tf.uint8)[:, None, None, None]
        return {"image": tf.broadcast_to(values, [tf.size(seed), 2, 2, 1])}

    spec = {"seed": tf.TensorSpec([None], tf.int64)}
    endpoint = Endpoint(function=generate, inputs=spec, example={"seed": [0, 1]})
    sheet = generated.pictures(endpoint, count=9)()["generated"]
    times = generated.LEAST // 24
    assert sheet[:: 3 * times, :: 3 * times, 0].flatten()[:9].tolist() == list(range(9))
