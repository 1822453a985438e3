"""Holes are as large as they should be, lie anywhere, and are what a caller may ask for."""

import numpy as np
import pytest
import tensorflow as tf

from kmodels.core import holes


def regions(count=200, *, size=16, cells=4, share=0.25):
    side = cells + holes.BEYOND
    noise = tf.random.stateless_uniform([count, side, side], [0, 1])
    shift = tf.random.stateless_uniform([count, 2], [0, 2])
    return noise, shift, holes.regions(noise, shift, size=size, share=share).numpy()


def keys(t, a=-0.5):
    """Keys' cubic, as his paper has it."""
    t = abs(t)
    if t < 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def test_regions_are_where_enlarged_noise_is_lowest():
    """By loops over pixels and cells."""
    noise, shift, found = regions(3, size=12, cells=3)
    for row in range(3):
        smooth = np.zeros((12, 12))
        for y, x in np.ndindex(12, 12):
            down, across = (1 + float(shift[row, i]) + ((y, x)[i] + 0.5) * 3 / 12 for i in (0, 1))
            smooth[y, x] = sum(
                keys(down - i) * keys(across - j) * float(noise[row, i, j])
                for i, j in np.ndindex(7, 7)
            )
        wanted = smooth <= np.sort(smooth.ravel())[36 - 1]
        np.testing.assert_array_equal(found[row], wanted)


@pytest.mark.parametrize(("size", "share"), [(16, 0.25), (32, 0.25), (15, 0.4)])
def test_a_share_of_every_picture_is_missing_and_of_every_place(size, share):
    *_, found = regions(2000, size=size, share=share)
    shares = found.mean(axis=(1, 2))
    np.testing.assert_allclose(shares, share, atol=1 / size**2)
    places = found.mean(axis=0)
    assert abs(places - share).max() < 0.08, "no place is missing more often than another"


def test_regions_hang_together_and_are_coarser_with_fewer_cells():
    def border(mask):
        return (mask[:, 1:] != mask[:, :-1]).mean()

    coarse, fine = (border(regions(cells=cells, size=32)[2]) for cells in (3, 12))
    assert coarse < 0.5 * fine < 0.5 * 2 * 0.25 * 0.75, "single pixels would differ most"


def test_the_centre_is_in_the_middle():
    assert holes.centre(6, 2).astype(int).tolist() == [
        [0] * 6, [0] * 6, [0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0], [0] * 6, [0] * 6,
    ]  # fmt: skip


USUAL = holes.centre(6, 2)
ONE = USUAL.astype(np.uint8)


def ask(mask, batch=2, *, any_shape=True):
    def traced(mask):
        return holes.asked(mask, tf.constant(batch), usual=USUAL, any_shape=any_shape)

    spec = tf.TensorSpec([None, None, None], tf.uint8)
    graph = tf.function(traced, input_signature=[spec], autograph=False)
    return graph(tf.constant(mask, tf.uint8)).numpy()


def test_masks_are_taken_as_they_are_or_for_all_rows_or_left_out():
    other = np.eye(6, dtype=np.uint8)
    np.testing.assert_array_equal(ask([ONE, other]), np.stack([ONE, other]).astype(bool))
    np.testing.assert_array_equal(ask([other]), np.stack([other, other]).astype(bool))
    np.testing.assert_array_equal(ask(np.zeros((1, 1, 0))), np.stack([USUAL, USUAL]))
    np.testing.assert_array_equal(ask([ONE], any_shape=False), np.stack([USUAL, USUAL]))
    for given in ([ONE], np.zeros((1, 1, 0))):
        assert ask(given, batch=0, any_shape=False).shape == (0, 6, 6), "of no pictures"


@pytest.mark.parametrize(
    ("mask", "any_shape", "sentence"),
    [
        (np.ones((2, 5, 6)), True, "mask of row 0 is 5 x 6; it must be 6 x 6, the size at which"),
        ([ONE, 7 * ONE], True, "mask of row 1 is made of numbers up to 7; it must be made of 0"),
        ([ONE, 0 * ONE], True, "mask of row 1 is 0 everywhere; it must be 1 where a pixel is"),
        ([ONE, 0 * ONE], False, "mask of row 1 is 0 everywhere"),
        ([ONE, 1 - ONE], False, "mask of row 1 is 1 elsewhere; it must be 1 in the 2 x 2 pixels"),
        ([255 * ONE], False, "mask of row 0 is made of numbers up to 255"),
        ([ONE] * 3, True, "one value, or one a row; given 3"),
    ],
)
def test_a_mask_that_cannot_be_meant_is_refused_by_its_row(mask, any_shape, sentence):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        ask(mask, any_shape=any_shape)
    assert sentence in str(error.value)


@pytest.mark.parametrize(("shape", "given"), [((6, 6), "6"), ((1, 6, 6, 1), "6 x 6 x 1")])
def test_a_mask_with_other_axes_is_told_its_own_shape(shape, given):
    """Servers leave shapes to the graph, whatever the signature says."""
    sentence = f"mask of row 0 is {given}; it must be 6 x 6"
    with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
        holes.asked(tf.ones(shape, tf.uint8), tf.constant(2), usual=USUAL, any_shape=True)
