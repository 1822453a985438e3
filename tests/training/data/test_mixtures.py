"""Rings and grids of Gaussians: where they lie, how wide they are, the same every time."""

import pathlib

import numpy as np
import pytest

from training.data import grid, ring

each = pytest.mark.parametrize(("family", "count"), [(ring, 8), (grid, 25)])


@each
def test_points_are_of_their_gaussians_and_held_out_ones_are_others(family, count):
    source = family.read(None)
    assert source.centres.shape == (count, 2) == (len(source.labels), 2)
    for part, rows in ((source.train, 100_000), (source.eval, 10_000)):
        assert part.inputs.shape == (rows, 2) and part.inputs.dtype == np.float32
        off = part.inputs - source.centres[part.labels]
        assert off.std() == pytest.approx(source.deviation, rel=0.02)
        shares = np.bincount(part.labels, minlength=count) / rows
        np.testing.assert_allclose(shares, 1 / count, rtol=0.2)
    assert not set(map(bytes, source.train.inputs)) & set(map(bytes, source.eval.inputs))
    assert source.sha256 == family.read(None).sha256


def test_all_eight_of_the_ring_are_different_and_on_the_circle():
    centres = ring.read(None).centres
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1)
    gaps = np.linalg.norm(centres - np.roll(centres, 1, axis=0), axis=1)
    np.testing.assert_allclose(gaps, 2 * np.sin(np.pi / 8))


def test_the_grid_is_two_apart():
    centres = {tuple(c) for c in grid.read(None).centres}
    assert centres == {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}


@each
def test_a_folder_is_of_no_use(family, count):
    with pytest.raises(ValueError, match="reads no folder"):
        family.read(pathlib.Path("there"))
