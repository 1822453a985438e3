"""Cuts of papers: where they lie, how large they are, what is in them."""

import numpy as np
import pytest
import tensorflow as tf

from training.data import crops

HEIGHT, WIDTH = 60, 90
DOWN, ACROSS = np.mgrid[:HEIGHT, :WIDTH]
PLACES = tf.constant(np.stack([DOWN, ACROSS, 0 * DOWN], -1), tf.float32)  # says where it is


def drawn(cut, count=60, picture=PLACES):
    """Corners [n, 2] and sides [n, 2] of parts, in pixels of the picture, and the parts.

    They are read off the middle, exactly where the picture is enlarged: between two of its pixels
    its places are what they were.
    """
    traced = tf.function(cut)
    parts = np.stack([traced(picture, tf.constant([1, n], tf.int64)) for n in range(count)])
    size = parts.shape[1]
    middle = parts[:, size // 2, size // 2 - 1] - parts[:, size // 2 - 1, size // 2]
    pixel = np.stack([middle[:, 0], -middle[:, 1]], -1)
    centre = parts[:, size // 2 - 1 : size // 2 + 1, size // 2 - 1 : size // 2 + 1, :2].mean((1, 2))
    sides = pixel * size
    return centre + 0.5 - sides / 2, sides, parts


def inside(corners, sides):
    return (corners > -0.05).all() and (corners + sides < np.array([HEIGHT, WIDTH]) + 0.05).all()


def test_a_part_is_the_resized_picture_cut():
    picture = tf.random.stateless_uniform([60, 90, 3], [0, 0], 0, 255)
    for short in (30, 120):
        whole = tf.image.resize(picture, [short, short * 3 // 2], antialias=True).numpy()
        corner, sides = tf.constant([8.0, 10.0]) * 60 / short, tf.fill([2], 16 * 60 / short)
        part = crops.part(picture, 16, corner, sides)
        np.testing.assert_allclose(part, whole[8:24, 10:26], atol=1e-2)


def test_bytes_are_cut_as_numbers_are():
    picture = tf.cast(tf.random.stateless_uniform([60, 90, 3], [0, 0], 0, 255), tf.uint8)
    cut = crops.inception(16)
    seed = tf.constant([3, 4], tf.int64)
    np.testing.assert_allclose(cut(picture, seed), cut(tf.cast(picture, tf.float32), seed))


def test_alexnet_sees_any_square_of_the_centre():
    corners, sides, parts = drawn(crops.centred(112, short=128))
    assert parts.shape == (60, 112, 112, 3)
    np.testing.assert_allclose(sides, 112 * 60 / 128, rtol=1e-3)
    steps = (
        (corners - [0, 15]) * 128 / 60
    )  # of the resized picture's pixels, from the centre's edge
    np.testing.assert_allclose(steps, steps.round(), atol=0.05)
    assert steps.min() > -0.1 and steps.max() < 16.1 and len(np.unique(steps.round())) == 17


def test_the_scale_jitters_between_its_ends():
    corners, sides, parts = drawn(crops.jittered(80, shorts=(100, 200)))
    assert parts.shape == (60, 80, 80, 3) and inside(corners, sides)
    shorts = 80 * 60 / sides
    np.testing.assert_allclose(shorts[:, 0], shorts[:, 1], rtol=1e-3)
    np.testing.assert_allclose(shorts, shorts.round(), atol=0.05)
    assert shorts.min() > 99.9 and shorts.max() < 200.1
    assert shorts.min() < 110 and shorts.max() > 190, "all of them come"


def test_inceptions_parts_have_its_areas_and_ratios():
    corners, sides, _ = drawn(crops.inception(128), count=300)
    assert inside(corners, sides)
    areas, ratios = sides.prod(1) / (HEIGHT * WIDTH), sides[:, 1] / sides[:, 0]
    assert areas.min() > 0.079 and areas.max() < 1.001
    assert ratios.min() > 0.74 and ratios.max() < 1.34
    assert areas.min() < 0.15 and areas.max() > 0.7 and 0.3 < areas.mean() < 0.6


def test_where_nothing_fits_the_middle_is_taken():
    """Of a picture ten times as wide as high no draw of more than a tenth of the area fits."""
    _, across = np.mgrid[:10, :100]
    picture = tf.constant(np.stack([across] * 3, -1), tf.float32)
    seen = crops.inception(10, areas=(0.5, 1.0))(picture, tf.constant([0, 0], tf.int64))
    np.testing.assert_allclose(seen[:, :, 0], np.tile(np.arange(45, 55), (10, 1)), atol=1e-3)


@pytest.mark.parametrize(
    "cut", [crops.centred(8, short=9), crops.jittered(8, shorts=(9, 18)), crops.inception(8)]
)
def test_a_cut_depends_on_its_seed_alone(cut):
    seeds = [tf.constant([5, n], tf.int64) for n in range(8)]
    first = [cut(PLACES, seed).numpy() for seed in seeds]
    assert all(np.array_equal(a, cut(PLACES, s)) for a, s in zip(first, seeds, strict=True))
    assert len({a.tobytes() for a in first}) > 3
