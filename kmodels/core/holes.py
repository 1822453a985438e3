"""Holes in pictures: where pixels are missing, and what a caller may say is missing.

Shapes: B batch, S side of a picture, G side of a grid of noise.
"""

import contextlib

import numpy as np
import tensorflow as tf

from kmodels.core import rows

SHARPNESS = -0.5  # of the cubic that enlarges noise (Keys 1981)
BEYOND = 4  # cells of noise that a window needs beside those it is wide


def centre(size: int, side: int) -> np.ndarray:
    """bool [S, S], True in the square of so many pixels a side in the middle."""
    first = (size - side) // 2
    mask = np.zeros((size, size), bool)
    mask[first : first + side, first : first + side] = True
    return mask


def regions(noise: tf.Tensor, shift: tf.Tensor, *, size: int, share: float) -> tf.Tensor:
    """Holes of no particular shape, bool [B, S, S], True where a pixel is missing.

    A window is laid on coarse noise, which is enlarged by bicubic interpolation; where it is lowest
    pixels are missing, the same share of every picture.

    Args:
        noise: float32 [B, G, G] in [0, 1); the window is G - 4 cells wide.
        shift: float32 [B, 2] in [0, 1), where the window lies, in cells.
        share: Of the pixels, in (0, 1).
    """
    cells = noise.shape[1] - BEYOND
    down, across = (_cubic(shift[:, axis], cells=cells, size=size) for axis in (0, 1))
    smooth = tf.matmul(tf.matmul(down, noise), across, transpose_b=True)
    lowest = tf.sort(tf.reshape(smooth, [-1, size * size]), axis=1)
    most = lowest[:, round(share * size * size) - 1]
    return smooth <= most[:, None, None]


def _cubic(shift: tf.Tensor, *, cells: int, size: int) -> tf.Tensor:
    """How much each cell counts in each pixel of a row, float32 [B, S, G]."""
    pixels = (np.arange(size, dtype=np.float32) + 0.5) * (cells / size)
    at = 1 + shift[:, None] + tf.constant(pixels, tf.float32)  # [B, S]
    away = tf.abs(at[..., None] - tf.range(cells + BEYOND, dtype=tf.float32))
    a = SHARPNESS
    near = ((a + 2) * away - (a + 3)) * away**2 + 1
    far = a * (((away - 5) * away + 8) * away - 4)
    return tf.where(away < 1, near, tf.where(away < 2, far, 0.0))


def asked(mask: tf.Tensor, batch: tf.Tensor, *, usual: np.ndarray, any_shape: bool) -> tf.Tensor:
    """A caller's masks, one or one a row, as bool [B, S, S]; traceable.

    Args:
        mask: uint8 [1 or B, S, S], 1 where a pixel is missing; without any pixel it is `usual`.
        batch: B, int32 [].
        usual: bool [S, S], the mask that is meant where none is given.
        any_shape: Whether others than the usual are allowed.

    Raises:
        tf.errors.InvalidArgumentError: a mask has another size, other values than 0 and 1, nothing
            missing, or the wrong things; the message names its row, counted from 0.
    """
    size = len(usual)
    default = tf.constant(usual[None], tf.uint8)
    mask = tf.cond(tf.equal(tf.size(mask), 0), lambda: default, lambda: mask)
    with tf.control_dependencies(_sized(mask, size)):
        mask = tf.ensure_shape(tf.identity(mask), [None, size, size])
    mask = rows.spread(mask, batch)
    most = tf.reduce_max(mask, [1, 2])
    values = tf.strings.join(["made of numbers up to ", tf.strings.as_string(most)])
    questions = [
        (most <= 1, values, "be made of 0 where a pixel is known and 1 where it is missing"),
        (most >= 1, tf.fill(batch[None], "0 everywhere"), "be 1 where a pixel is missing"),
    ]
    if not any_shape:
        same = tf.reduce_all(tf.equal(mask, default), [1, 2])
        side = int(usual.sum(axis=0).max())
        where = f"be 1 in the {side} x {side} pixels in the middle and nowhere else, as in training"
        questions.append((same, tf.fill(batch[None], "1 elsewhere"), where))
    with contextlib.ExitStack() as stack:  # one after another: the first that fails is told
        for holds, given, allowed in questions:
            checks = rows.check(holds, "mask", given, allowed)
            stack.enter_context(tf.control_dependencies(checks))
        return tf.cast(mask, tf.bool)


def _sized(mask: tf.Tensor, size: int) -> list[tf.Operation]:
    """Compares words: a server may be asked with more or fewer axes than the signature has."""
    sides = tf.shape(mask)
    given = tf.strings.reduce_join(tf.strings.as_string(sides[1:]), separator=" x ")
    wanted = f"{size} x {size}"
    count = sides[:1]
    allowed = f"be {wanted}, the size at which the network sees a picture"
    fits = tf.fill(count, tf.equal(given, wanted))
    return rows.check(fits, "mask", tf.fill(count, given), allowed)
