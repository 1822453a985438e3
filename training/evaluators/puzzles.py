"""Held-out pictures as shuffled tiles, and how a network would lay them."""

from typing import Any

import numpy as np
import tensorflow as tf

from training import draws
from training.evaluators import pictures
from training.loop import Evaluator
from training.prepared import Prepared

SHOWN = 12  # puzzles
COLUMNS = 6  # pictures of a row: a puzzle, and beside it what the network makes of it
GAP, WHITE = 0.08, 255  # between tiles, as a share of a tile's side, and its brightness


def make(model: Any, prepared: Prepared) -> Evaluator:
    """A function that gives {"puzzles": a sheet}, of the same puzzles each time.

    Args:
        model: Has `puzzles` and `orders`, as `kmodels.jigsaw.CFN`.
    """
    codec = prepared.codec
    image = next(iter(prepared.data.batches("eval", SHOWN, seed=0)))["image"]

    @tf.function(autograph=False)
    def solved() -> tuple[tf.Tensor, ...]:
        tiles, answer = model.puzzles(draws.added({"image": image}, model, training=False))
        return codec.unsee(tiles), answer, tf.nn.softmax(model(tiles, training=False))

    def look() -> dict[str, Any]:
        tiles, answers, said = (value.numpy() for value in solved())
        shown, captions = [], []
        for row, answer, chances in zip(tiles, answers, said, strict=True):
            guess = int(chances.argmax())
            laid = row[np.argsort(model.orders[guess])]
            shown += [board(row), board(laid)]
            captions += ["shuffled", _verdict(model.orders, guess, int(answer), chances[guess])]
        return {"puzzles": pictures.sheet(np.stack(shown), captions, columns=COLUMNS)}

    return look


def _verdict(orders: np.ndarray, guess: int, answer: int, sure: float) -> str:
    if guess == answer:
        return f"right, {sure:.0%} sure"
    return f"{(orders[guess] != orders[answer]).sum()} wrong, {sure:.0%} sure"


def board(tiles: np.ndarray) -> np.ndarray:
    """Nine tiles uint8 [9, T, T, C] in three rows with gaps between them, [H, H, C]."""
    side, channels = tiles.shape[1], tiles.shape[3]
    gap = max(1, round(GAP * side))
    whole = np.full((3 * side + 2 * gap, 3 * side + 2 * gap, channels), WHITE, np.uint8)
    for place, tile in enumerate(tiles):
        top, left = (number * (side + gap) for number in divmod(place, 3))
        whole[top : top + side, left : left + side] = tile
    return whole
