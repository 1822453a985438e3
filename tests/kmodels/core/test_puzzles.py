"""Orders are unique and far apart; tiles are what NumPy would cut."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from kmodels.core import puzzles
from kmodels.core.puzzles import Grid

RNG = np.random.default_rng(0)
COLOUR = Grid(size=23, channels=3, cell=7, tile=4, jitter=2, colour_shift=1, grey=0.4)


def distances(orders):
    """Hamming distances of all pairs."""
    apart = (orders[:, None] != orders[None]).sum(axis=-1)
    return apart[np.triu_indices(len(orders), 1)]


def test_a_thousand_orders_are_as_far_apart_as_the_published_ones():
    orders = puzzles.permutations(1000)
    assert orders.shape == (1000, 9) and orders.dtype == np.int32
    assert (np.sort(orders, axis=1) == np.arange(9)).all()
    assert len(np.unique(orders, axis=0)) == 1000
    assert distances(orders).mean() == pytest.approx(8.00, abs=0.01)
    assert distances(orders).min() >= 2


def test_each_order_is_the_farthest_on_average_from_those_before_it():
    every = np.array(list(itertools.permutations(range(9))), np.int8)
    orders = puzzles.permutations(12, seed=3)
    for count in (1, 5, 11):
        apart = np.stack([(every != order).sum(axis=1) for order in orders[:count]])
        left = apart.mean(axis=0)[(apart > 0).all(axis=0)]
        mine = (orders[count] != orders[:count]).sum(axis=-1)
        assert mine.min() > 0 and mine.mean() == left.max()
    assert (distances(orders[:9]) == 9).all(), "nine orders can differ in all places"


def test_orders_are_those_of_their_seed_and_cannot_be_changed():
    same = puzzles.permutations.__wrapped__(20, seed=1)
    assert (same == puzzles.permutations(20, seed=1)).all()
    assert (puzzles.permutations(10, seed=1) == same[:10]).all()
    assert (puzzles.permutations(20, seed=2) != same).any()
    with pytest.raises(ValueError, match="read-only"):
        same[0, 0] = 3


def drawn(grid, count, seed=0):
    rng = np.random.default_rng(seed)
    return {
        key: tf.constant(rng.uniform(size=(count, *draw.shape)), tf.float32)
        for key, draw in grid.draws.items()
    }


def cut_by_numpy(grid, image, batch):
    """Pixel by pixel, from the description of `Grid`."""
    made = np.zeros((len(image), 9, grid.tile, grid.tile, grid.channels), np.float32)
    slack = (grid.cell - grid.tile - grid.jitter) // 2
    for row, picture in enumerate(image):
        grey = "grey" in batch and batch["grey"][row] < grid.grey
        if grey:
            luma = picture @ np.float32([0.299, 0.587, 0.114])
            picture = np.stack([luma] * 3, axis=-1)
        for cell, channel in itertools.product(range(9), range(grid.channels)):
            at = []
            for axis in range(2):
                corner = int(batch["corner"][row, axis] * (grid.size - 3 * grid.cell + 1))
                place = int(batch["places"][row, cell, axis] * (grid.jitter + 1))
                start = corner + divmod(cell, 3)[axis] * grid.cell + slack + place
                if "shifts" in batch and not grey:
                    wide = 2 * grid.colour_shift + 1
                    start += int(batch["shifts"][row, cell, axis, channel] * wide)
                    start -= grid.colour_shift
                at.append(min(max(start, 0), grid.size - grid.tile))
            top, left = at
            part = picture[top : top + grid.tile, left : left + grid.tile, channel]
            made[row, cell, ..., channel] = part
    return made


@pytest.mark.parametrize(
    "grid",
    [
        COLOUR,
        Grid(size=21, channels=3, cell=7, tile=7, jitter=0, grey=0.4),
        Grid(size=21, channels=3, cell=7, tile=6, jitter=1, colour_shift=2),
        Grid(size=25, channels=1, cell=8, tile=3, jitter=4, colour_shift=2, grey=0.5),
    ],
)
def test_tiles_are_those_that_numpy_cuts(grid):
    image = RNG.normal(size=(40, grid.size, grid.size, grid.channels)).astype(np.float32)
    batch = drawn(grid, len(image))
    found = grid.tiles(tf.constant(image), batch).numpy()
    wanted = cut_by_numpy(grid, image, {key: value.numpy() for key, value in batch.items()})
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_nothing_is_drawn_that_is_not_needed():
    assert set(COLOUR.draws) == {"order", "corner", "places", "shifts", "grey"}
    plain = Grid(size=21, channels=3, cell=7, tile=7, jitter=0)
    assert set(plain.draws) == {"order", "corner", "places"}
    grey = Grid(size=21, channels=1, cell=7, tile=7, jitter=0, colour_shift=2, grey=0.3)
    assert set(grey.draws) == {"order", "corner", "places"}


def test_tiles_without_gaps_make_the_picture_again():
    grid = Grid(size=21, channels=3, cell=7, tile=7, jitter=0)
    image = RNG.normal(size=(2, 21, 21, 3)).astype(np.float32)
    tiles = grid.tiles(tf.constant(image), drawn(grid, 2)).numpy()
    whole = tiles.reshape(2, 3, 3, 7, 7, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 21, 21, 3)
    np.testing.assert_array_equal(whole, image)


def test_tiles_lie_anywhere_in_their_cells_and_stay_there():
    grid = Grid(size=31, channels=1, cell=10, tile=6, jitter=3)
    corners = grid.corners(drawn(grid, 4000)).numpy()[..., 0]
    grids = tf.cast(drawn(grid, 4000)["corner"] * 2, tf.int32).numpy()
    for cell in range(9):
        inside = corners[:, cell] - grids - 10 * np.array(divmod(cell, 3))
        values, counts = np.unique(inside, return_counts=True)
        assert values.tolist() == [0, 1, 2, 3] and counts.min() > 0.22 * counts.sum()
    assert 0.47 < grids.mean() < 0.53


def test_as_many_pictures_are_grey_as_asked_and_only_colours_are_shifted():
    batch = drawn(COLOUR, 2000)
    corners = COLOUR.corners(batch).numpy()
    apart = (corners != corners[..., :1]).any(axis=(1, 2, 3))
    grey = batch["grey"].numpy() < COLOUR.grey
    assert (apart == ~grey).all() and 0.37 < grey.mean() < 0.43
    shifts = corners[~grey] - corners[~grey].min(axis=-1, keepdims=True)
    assert set(np.unique(shifts)) == {0, 1, 2}


def test_every_order_is_drawn_as_often():
    chances = tf.constant(RNG.uniform(size=20000), tf.float32)
    found = puzzles.drawn_order({"order": chances}, 7).numpy()
    assert (np.bincount(found, minlength=7) / len(found) > 0.13).all() and found.max() == 6
    most = {"order": tf.constant([np.nextafter(np.float32(1), np.float32(0))])}
    assert puzzles.drawn_order(most, 362_880).numpy().tolist() == [362_879]


def test_normalised_tiles_have_mean_0_and_deviation_1_and_plain_ones_are_0():
    tiles = RNG.normal(5, 3, size=(2, 9, 6, 6, 3)).astype(np.float32)
    tiles[0, 4] = 7.7
    found = puzzles.normalised(tf.constant(tiles)).numpy()
    assert np.abs(found[0, 4]).max() < 1e-3
    rest = np.delete(found.reshape(18, 36, 3), 4, axis=0)
    np.testing.assert_allclose(rest.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(rest.std(axis=1), 1, atol=1e-4)


def test_shuffled_tiles_lie_as_their_order_says():
    tiles = tf.reshape(tf.range(18), (2, 9, 1, 1, 1))
    orders = tf.constant([[8, 7, 6, 5, 4, 3, 2, 1, 0], [1, 0, 2, 3, 4, 5, 6, 7, 8]])
    found = puzzles.shuffled(tiles, orders).numpy().reshape(2, 9)
    assert found.tolist() == [[8, 7, 6, 5, 4, 3, 2, 1, 0], [10, 9, 11, 12, 13, 14, 15, 16, 17]]
