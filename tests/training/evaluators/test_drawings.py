"""What is drawn of codes and pictures: which pictures, in which order."""

import numpy as np
import pytest
import tensorflow as tf

from kmodels import autoencoder, vae
from training import recipes
from training.evaluators import drawings


@pytest.fixture(scope="module")
def made():
    config, module = autoencoder.PRESETS["tiny"], recipes.load("autoencoder")
    return module.prepare(config, module.recipe(config), None)


@pytest.fixture
def sheets(monkeypatch):
    """The pictures uint8 [n, 8, 8, 1] and columns that a sheet is made of, instead of it."""
    kept = []
    monkeypatch.setattr(
        drawings.pictures, "sheet", lambda found, captions, columns: kept.append((found, columns))
    )
    return kept


def flat(codes):
    """Codes [n, 2] to pictures whose brightness is the first number, clipped to [0, 1]."""
    return tf.ones((1, 8, 8, 1)) * codes[:, 0, None, None, None]


def test_rows_of_pictures_stand_above_what_is_made_of_them(made, sheets):
    drawings.reconstructions(lambda seen: 1 - seen, made)()
    drawings.reconstructions(lambda seen: 1 - seen, made, shown=lambda seen: seen * 0)()
    (pairs, _), (threes, _) = sheets
    held_out = made.data.source.eval.inputs[:16]
    np.testing.assert_array_equal(pairs[:8], held_out[:8])
    np.testing.assert_array_equal(pairs[8:16], 255 - held_out[:8])
    np.testing.assert_array_equal(pairs[16:24], held_out[8:])
    assert not threes[8:16].any() and (threes[16:24] == 255).all()
    np.testing.assert_array_equal(threes[24:32], held_out[8:])


def test_samples_are_of_the_same_codes_each_time(made, sheets):
    look = drawings.samples(flat, made, width=2)
    look(), look()
    np.testing.assert_array_equal(sheets[0][0], sheets[1][0])
    brightness = sheets[0][0][:, 0, 0, 0]
    assert len(brightness) == drawings.SAMPLES and 0.3 < (brightness == 0).mean() < 0.7


def test_a_plane_goes_through_the_normal_distribution_in_equal_shares(made, sheets):
    drawings.plane(lambda codes: flat(0.5 + 0.5 * tf.math.erf(codes / np.sqrt(2))), made)()
    found, columns = sheets[0]
    grid = found[:, 0, 0, 0].reshape(columns, columns)
    np.testing.assert_allclose(np.diff(grid.astype(int), axis=1), 255 / columns, atol=1)
    assert (grid == grid[0]).all(), "the second number runs upwards"


def test_numbers_are_walked_along_by_how_much_pictures_differ_in_them(made, sheets):
    def encode(seen):
        total = tf.reduce_mean(seen, (1, 2, 3))
        return tf.stack([total, 3 * total, 0 * total], axis=1)

    def make(codes):
        return tf.ones((1, 8, 8, 1)) * (codes[:, 1, None, None, None] / 5 + 0.5)

    drawings.traversals(make, encode, made)()
    rows = sheets[0][0][:, 0, 0, 0].reshape(3, drawings.COLUMNS)
    assert rows[0, 0] == 0 and rows[0, -1] == 255 and (np.diff(rows[0].astype(int)) > 0).all()
    assert (rows[1:] == 128).all(), "others stay where they are"


def test_positions_and_all_pictures_of_both_recipes_are_drawn(made):
    shown = drawings.positions(lambda seen: tf.reduce_mean(seen, (1, 2)) * [[1.0, 2.0]], made)()
    for paper, config in (
        (vae, vae.PRESETS["tiny"]),
        (autoencoder, autoencoder.Config(size=8, hidden=(4,), code=2, noise=0.5)),
    ):
        module = recipes.load(paper.__name__.split(".")[1])
        prepared = module.prepare(config, module.recipe(config), None)
        for look in module.evaluators(paper.build(config), prepared):
            shown |= look()
    compared = {name for name in shown if "digits_resnet" in name}
    assert compared and shown.keys() - compared == {
        "positions", "reconstructions", "samples", "traversals", "plane", "bound_1", "bound_50",
    }  # fmt: skip
    for picture in (value for value in shown.values() if not isinstance(value, float)):
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[-1] == 3
        assert len(np.unique(picture)) > 10, "something is drawn"
