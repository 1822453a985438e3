"""The fourteen operations against Pillow's, and how they are drawn."""

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
import pytest
import tensorflow as tf

from training.data import randaugment

RNG = np.random.default_rng(0)
COARSE = PIL.Image.fromarray(RNG.integers(30, 220, (6, 7, 3), np.uint8))
PICTURE = COARSE.resize((33, 21), PIL.Image.Resampling.BICUBIC)
PIXELS = np.asarray(PICTURE)
SHARES = (0.3, 1.0)
SIGNS = (1, -1)


def of(name, share=1.0, sign=1, pixels=PIXELS):
    operation = randaugment.OPERATIONS[name]
    made = operation(tf.constant(pixels, tf.float32), share, tf.constant(float(sign)))
    return np.clip(np.round(made), 0, 255)


def affine(a, b, c, d, e, f):
    """Pillow has the middles of pixels at halves, TensorFlow at whole numbers."""
    shifted = (a, b, c + 0.5 - (a + b) / 2, d, e, f + 0.5 - (d + e) / 2)
    return np.asarray(
        PICTURE.transform(
            PICTURE.size,
            PIL.Image.Transform.AFFINE,
            shifted,
            resample=PIL.Image.Resampling.NEAREST,
            fillcolor=(128, 128, 128),
        )
    )


@pytest.mark.parametrize(
    ("name", "pillow"),
    [
        ("auto_contrast", PIL.ImageOps.autocontrast),
        ("equalize", PIL.ImageOps.equalize),
        ("identity", lambda picture: picture),
    ],
)
def test_operations_without_a_magnitude_are_pillows(name, pillow):
    assert np.abs(of(name) - np.asarray(pillow(PICTURE))).max() <= 1
    flat = np.full((5, 5, 3), 77, np.uint8)
    assert np.array_equal(of(name, pixels=flat), flat)


@pytest.mark.parametrize("share", SHARES)
def test_solarize_and_posterize_are_pillows(share):
    threshold, bits = int(np.ceil(256 * (1 - share))), 8 - round(4 * share)
    assert np.array_equal(
        of("solarize", share), np.asarray(PIL.ImageOps.solarize(PICTURE, threshold))
    )
    assert np.array_equal(of("posterize", share), np.asarray(PIL.ImageOps.posterize(PICTURE, bits)))


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("colour", PIL.ImageEnhance.Color),
        ("contrast", PIL.ImageEnhance.Contrast),
        ("brightness", PIL.ImageEnhance.Brightness),
        ("sharpness", PIL.ImageEnhance.Sharpness),
    ],
)
def test_enhancements_are_pillows(name, enhancer, share, sign):
    wanted = np.asarray(enhancer(PICTURE).enhance(1 + 0.9 * share * sign), float)
    assert np.abs(of(name, share, sign) - wanted).max() <= 2


@pytest.mark.parametrize("sign", SIGNS)
def test_shifts_are_a_part_of_the_side(sign):
    far = round(33 * 150 / 331)
    assert np.array_equal(of("translate_x", 1, sign), affine(1, 0, sign * far, 0, 1, 0))
    far = round(21 * 150 / 331)
    assert np.array_equal(of("translate_y", 1, sign), affine(1, 0, 0, 0, 1, sign * far))


@pytest.mark.parametrize("sign", SIGNS)
def test_shears_and_turns_move_places_as_they_should(sign):
    """The picture says where each of its places was."""
    down, across = np.mgrid[:21, :33].astype(np.float32)
    places = np.stack([across, down, 0 * down], -1)

    cos, sin = np.cos(np.pi / 6), sign * np.sin(np.pi / 6)
    turned = (
        16 + cos * (across - 16) - sin * (down - 10),
        10 + sin * (across - 16) + cos * (down - 10),
    )
    for name, (x, y) in {
        "shear_x": (across + sign * 0.3 * down, down),
        "shear_y": (across, down + sign * 0.3 * across),
        "rotate": turned,
    }.items():
        operation = randaugment.OPERATIONS[name]
        made = operation(tf.constant(places), 1.0, tf.constant(float(sign))).numpy()
        inner = (x > 0.01) & (x < 31.99) & (y > 0.01) & (y < 19.99)
        assert inner.sum() > 200
        np.testing.assert_allclose(made[inner][:, 0], x[inner], atol=0.01)
        np.testing.assert_allclose(made[inner][:, 1], y[inner], atol=0.01)


def test_operations_are_drawn_by_the_seed():
    change = tf.function(randaugment.of(1, 10))
    picture = tf.constant(PIXELS, tf.float32)
    made = [change(picture, tf.constant([1, n], tf.int64)).numpy() for n in range(60)]
    assert np.array_equal(made[3], change(picture, tf.constant([1, 3], tf.int64)))
    whole = np.stack(made)
    assert whole.min() >= 0 and whole.max() <= 255 and np.array_equal(whole, whole.round())
    known = {
        (name, sign): np.clip(np.round(of(name, 1.0, sign)), 0, 255)
        for name in randaugment.OPERATIONS
        for sign in SIGNS
    }
    seen = {
        name
        for one in made
        for (name, _), wanted in known.items()
        if np.abs(one - wanted).max() < 1.5
    }
    assert len(randaugment.OPERATIONS) == 14 and len(seen) > 10, seen
    twice = tf.function(randaugment.of(2, 0))
    assert twice(picture, tf.constant([1, 2], tf.int64)).shape == PIXELS.shape
    grey = randaugment.of(2, 10)(picture[..., :1], tf.constant([1, 2], tf.int64))
    assert grey.shape == (21, 33, 1)
