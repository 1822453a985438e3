"""Puzzles are shown as they are shuffled, and laid as the network says."""

import numpy as np

from kmodels import jigsaw
from training import recipes
from training.evaluators import puzzles


def test_a_board_has_nine_tiles_in_three_rows():
    tiles = np.arange(9, dtype=np.uint8)[:, None, None, None] * np.ones((9, 4, 4, 1), np.uint8)
    board = puzzles.board(tiles)
    assert board.shape == (14, 14, 1)
    for place in range(9):
        top, left = (5 * n for n in divmod(place, 3))
        assert (board[top : top + 4, left : left + 4] == place).all()
    assert (board[4] == 255).all() and (board[:, 9] == 255).all()


def test_the_same_puzzles_are_shown_and_follow_the_weights(lively, monkeypatch):
    config = jigsaw.PRESETS["tiny"]
    module = recipes.load("jigsaw")
    prepared = module.prepare(config, module.recipe(config), None)
    model = lively(jigsaw.build(config), stddev=0.5)
    sheets = []

    def kept(boards, captions, *, columns):
        sheets.append((boards, captions))
        return boards[0]

    monkeypatch.setattr(puzzles.pictures, "sheet", kept)
    look = puzzles.make(model, prepared)
    look(), look(), lively(model, stddev=2.0, seed=1), look()
    boards, captions = zip(*sheets, strict=True)
    np.testing.assert_array_equal(boards[0], boards[1])
    np.testing.assert_array_equal(boards[0][::2], boards[2][::2])
    assert (boards[0] != boards[2]).any(), "other weights lay them otherwise"
    assert len(boards[0]) == len(captions[0]) == 2 * puzzles.SHOWN
    for shuffled, laid, caption in zip(
        boards[0][::2], boards[0][1::2], captions[0][1::2], strict=True
    ):
        assert (np.sort(shuffled, axis=None) == np.sort(laid, axis=None)).all()
        assert "sure" in caption and ("right" in caption or "wrong" in caption)
