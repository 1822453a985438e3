"""Views of a picture differ by what SimCLR changes, each as often and as far as it says."""

import numpy as np
import pytest
import tensorflow as tf

from training.data import distortions

PICTURE = 255 * tf.random.stateless_uniform([24, 30, 3], [1, 2])
GREY = PICTURE[..., :1]


def drawn(see, picture=PICTURE, count=60):
    traced = tf.function(see, autograph=False)
    return np.stack([traced(picture, tf.constant([3, n], tf.int64)) for n in range(count)])


@pytest.mark.parametrize(
    "options",
    [{"strength": 0.0}, {"strength": 1.0}, {"strength": 0.5, "mirror": False, "blur": True}],
)
@pytest.mark.parametrize("picture", [PICTURE, GREY], ids=["colour", "grey"])
def test_a_view_has_the_networks_size_and_range(options, picture):
    views = drawn(distortions.view(16, **options), picture, count=8)
    assert views.shape == (8, 16, 16, picture.shape[-1])
    assert views.min() >= 0 and views.max() <= 255
    assert len({view.tobytes() for view in views}) == 8
    again = drawn(distortions.view(16, **options), picture, count=8)
    np.testing.assert_array_equal(views, again)


def test_some_views_are_without_colour_only_where_colours_change():
    grey = [
        np.ptp(drawn(distortions.view(8, strength=s)), axis=-1).max(axis=(1, 2)) < 0.01
        for s in (1.0, 0.0)
    ]
    assert 4 <= grey[0].sum() <= 22 and not grey[1].any()


def test_brightness_is_added_and_contrast_keeps_the_mean():
    flat = tf.fill([8, 8, 1], 0.5)
    jittered = drawn(lambda x, seed: distortions.jittered(x, seed, 0.5), flat)
    assert np.ptp(jittered, axis=(1, 2, 3)).max() < 1e-6, "a flat picture has no contrast"
    shift = jittered[:, 0, 0, 0] - 0.5
    assert -0.4 <= shift.min() < -0.2 and 0.2 < shift.max() <= 0.4
    ramp = tf.linspace(0.2, 0.8, 64)
    spread = drawn(lambda x, seed: distortions.jittered(x, seed, 0.5), tf.reshape(ramp, (8, 8, 1)))
    factor = np.ptp(spread, axis=(1, 2, 3)) / 0.6
    assert 0.6 <= factor.min() < 0.8 and 1.2 < factor.max() <= 1.4 + 1e-6


def test_hue_and_saturation_change_colours_and_their_order_varies():
    jittered = drawn(lambda x, seed: distortions.jittered(x, seed, 1.0), PICTURE / 255)
    spread = np.ptp(jittered, axis=-1).mean(axis=(1, 2)) / np.ptp(PICTURE / 255, axis=-1).mean()
    assert spread.min() < 0.6 and spread.max() > 1.5


def test_a_blur_spreads_a_point_and_keeps_its_light():
    point = tf.scatter_nd([[20, 20, 0]], [1.0], [40, 40, 1])
    blurred = drawn(distortions.blurred, point, count=20)
    np.testing.assert_allclose(blurred.sum(axis=(1, 2, 3)), 1, rtol=1e-5)
    np.testing.assert_allclose(blurred[:, 18:23, 18:23], blurred[:, 22:17:-1, 22:17:-1], atol=1e-6)
    peak = blurred[:, 20, 20, 0]
    assert peak.min() < 0.1 and peak.max() > 0.5
    far = np.abs(np.mgrid[:40, :40] - 20).max(axis=0) > 2
    assert not blurred[:, far].any(), "a tenth of 40 pixels, so two each way"
