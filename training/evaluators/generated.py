"""What a generator makes of fixed seeds, through the very endpoint that is exported."""

from typing import Any

import numpy as np
import tensorflow as tf

from kmodels.core.paper import Endpoint
from training.loop import Evaluator

SEEDS = 64
COLUMNS = 8
GAP, GREY = 1, 96  # pixels between pictures, and their brightness
LEAST = 512  # pixels of a sheet's width, to which small pictures are enlarged


def pictures(endpoint: Endpoint, *, count: int = SEEDS) -> Evaluator:
    """A function that gives {"generated": a sheet of the pictures of seeds 0, 1, 2 ...}.

    The graph is traced at the first call; later ones read the weights as they then are.

    Args:
        endpoint: Takes `seed`, gives `image`.
    """
    generate = tf.function(endpoint.function, autograph=False)

    def look() -> dict[str, Any]:
        images = generate(seed=tf.range(count, dtype=tf.int64))["image"].numpy()
        return {"generated": tiled(images, COLUMNS)}

    return look


def tiled(images: np.ndarray, columns: int) -> np.ndarray:
    """uint8 [H, W, 3] of pictures uint8 [n, h, w, 1 or 3] in rows, whole pixels enlarged alike.

    Grey lines are between them; places of the last row that have no picture are grey.
    """
    images = np.pad(images, [[0, 0], [0, GAP], [0, GAP], [0, 0]], constant_values=GREY)
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    blank = np.full((rows * columns - count, height, width, channels), GREY, np.uint8)
    whole = np.concatenate([images, blank]).reshape(rows, columns, height, width, channels)
    sheet = whole.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
    times = max(1, LEAST // sheet.shape[1])
    sheet = sheet.repeat(times, axis=0).repeat(times, axis=1)
    return sheet.repeat(3, axis=-1) if channels == 1 else sheet
