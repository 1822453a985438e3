"""Pictures that a model makes come as colours and as files."""

import numpy as np
import pytest
import tensorflow as tf

from kmodels.core import drawing
from kmodels.core.codecs.images import Images


@pytest.mark.parametrize("channels", [1, 3])
def test_files_hold_the_colours(channels):
    codec = Images(
        labels=("a", "b"),
        size=4,
        channels=channels,
        mean=(127.5,),
        deviation=(127.5,),
        examples=(b"", b""),
    )
    seen = tf.linspace(-1.2, 1.2, 3 * 16 * channels)
    answer = drawing.answer(codec, tf.reshape(seen, [3, 4, 4, channels]))
    assert answer["image"].dtype == tf.uint8
    for picture, file in zip(answer["image"], answer["image_bytes"], strict=True):
        np.testing.assert_array_equal(tf.io.decode_png(file), picture)
    assert answer["image"].numpy().min() == 0 and answer["image"].numpy().max() == 255
