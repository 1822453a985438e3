"""Which part of a training picture a network sees: what each paper does with photographs.

Every function here gives a cut: a picture [H, W, C] of any sides, 0 to 255, and a seed int64 [2],
to float32 [size, size, C]. A part is resized and cut out at once, so only its own pixels are made.
"""

import math
from typing import Literal

import tensorflow as tf

from training.data.labelled import Each


def part(
    picture: tf.Tensor,
    size: int,
    corner: tf.Tensor,
    sides: tf.Tensor,
    *,
    kernel: Literal["triangle", "keyscubic"] = "triangle",
) -> tf.Tensor:
    """A part of a picture at the network's size, antialiased.

    Args:
        corner: float32 [2], its top and left in pixels.
        sides: float32 [2], its height and width.
        kernel: How pixels are mixed: bilinear or bicubic.
    """
    scale = size / sides
    made = tf.raw_ops.ScaleAndTranslate(
        images=picture[None],
        size=tf.constant([size, size]),
        scale=scale,
        translation=-corner * scale,
        kernel_type=kernel,
        antialias=True,
    )
    return made[0]


def _sides(picture: tf.Tensor) -> tf.Tensor:
    """float32 [2]: height and width."""
    return tf.cast(tf.shape(picture)[:2], tf.float32)


def centred(size: int, *, short: int) -> Each:
    """The short side is resized to `short`, the centre cut out, and of it any square of `size`.

    Krizhevsky et al. 2012, sections 2 and 4.1, with 256 and 224.
    """

    def cut(picture: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        sides = _sides(picture)
        pixel = tf.reduce_min(sides) / short  # of the resized picture, in pixels of this one
        place = tf.random.stateless_uniform([2], seed, 0, short - size + 1, tf.int32)
        corner = (sides - short * pixel) / 2 + tf.cast(place, tf.float32) * pixel
        return part(picture, size, corner, tf.fill([2], size * pixel))

    return cut


def jittered(size: int, *, shorts: tuple[int, int]) -> Each:
    """The short side is resized to any length in `shorts`, and any square of `size` cut out.

    Simonyan and Zisserman 2014, section 3.1, with 256 to 512; He et al. 2015, section 3.4, with
    256 to 480; both for 224.
    """

    def cut(picture: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        sides = _sides(picture)
        scales, places = tf.unstack(tf.random.split(seed, 2))
        short = tf.random.stateless_uniform([], scales, shorts[0], shorts[1] + 1, tf.int32)
        pixel = tf.reduce_min(sides) / tf.cast(short, tf.float32)
        corner = tf.random.stateless_uniform([2], places) * (sides - size * pixel)
        return part(picture, size, corner, tf.fill([2], size * pixel))

    return cut


def inception(
    size: int,
    *,
    areas: tuple[float, float] = (0.08, 1.0),
    ratios: tuple[float, float] = (3 / 4, 4 / 3),
    tries: int = 10,
    kernel: Literal["triangle", "keyscubic"] = "triangle",
) -> Each:
    """Any part of 8 to 100 % of the area, between 3:4 and 4:3 (Szegedy et al. 2014, section 6).

    Areas are drawn evenly, ratios evenly by their logarithm; of ten draws the first that lies
    within the picture is taken, of none the largest square in the middle.
    """

    def cut(picture: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        whole = _sides(picture)
        shares, slants, places = tf.unstack(tf.random.split(seed, 3))
        area = tf.random.stateless_uniform([tries], shares, *areas) * tf.reduce_prod(whole)
        slant = tf.random.stateless_uniform([tries], slants, *map(math.log, ratios))
        root = tf.exp(slant / 2)  # of width over height
        drawn = tf.sqrt(area)[:, None] * tf.stack([1 / root, root], axis=1)  # [tries, 2]
        middle = tf.fill([1, 2], tf.reduce_min(whole))
        sides = tf.concat([drawn, middle], axis=0)
        first = tf.argmax(tf.reduce_all(sides <= whole, axis=1))
        where = tf.random.stateless_uniform([2], places)
        where = tf.where(first < tries, where, tf.fill([2], 0.5))
        return part(picture, size, where * (whole - sides[first]), sides[first], kernel=kernel)

    return cut
