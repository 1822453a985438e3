"""RandAugment: a few of fourteen operations, all of one magnitude (Cubuk et al. 2019).

The operations are those of Pillow, as the paper's are, and 10 is the largest magnitude of its
scale (section 3 there, table 6 of AutoAugment). Pictures are float32 [H, W, C] of whole numbers
from 0 to 255; operations with a direction go either way.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from training.data.labelled import Each

MOST = 10  # the largest magnitude
GREY = 128.0  # what comes in at the borders
LUMA = (0.299, 0.587, 0.114)

# A picture, the magnitude as a share of the largest, and the direction, 1 or -1.
Operation = Callable[[tf.Tensor, float, tf.Tensor], tf.Tensor]


def of(count: int, magnitude: int) -> Each:
    """`count` operations one after another, each drawn evenly from the fourteen.

    Args:
        magnitude: 0 to 10.
    """
    share = magnitude / MOST

    def change(picture: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        kinds, signs = tf.unstack(tf.random.split(seed, 2))
        kind = tf.random.stateless_uniform([count], kinds, 0, len(OPERATIONS), tf.int32)
        sign = tf.random.stateless_uniform([count], signs, 0, 2, tf.int32)
        shape = picture.shape
        picture = _whole(picture)
        for i in range(count):
            direction = tf.cast(2 * sign[i] - 1, tf.float32)
            branches = [_branch(o, picture, share, direction) for o in OPERATIONS.values()]
            picture = tf.ensure_shape(_whole(tf.switch_case(kind[i], branches)), shape)
        return picture

    return change


def _branch(
    operation: Operation, picture: tf.Tensor, share: float, direction: tf.Tensor
) -> Callable[[], tf.Tensor]:
    return lambda: operation(picture, share, direction)


def _whole(picture: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(tf.round(picture), 0.0, 255.0)


def identity(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """The same picture."""
    return tf.identity(picture)


def auto_contrast(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """Each channel is stretched from its least and most to 0 and 255."""
    low = tf.reduce_min(picture, axis=(0, 1))
    high = tf.reduce_max(picture, axis=(0, 1))
    stretched = (picture - low) * 255 / tf.maximum(high - low, 1)
    return tf.where(high > low, tf.floor(stretched), picture)


def equalize(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """Each channel's values are spread so that all are about as frequent."""
    channels = tf.unstack(tf.cast(picture, tf.int32), axis=-1)
    return tf.cast(tf.stack([_equalized(c) for c in channels], axis=-1), tf.float32)


def _equalized(channel: tf.Tensor) -> tf.Tensor:
    """int32 [H, W], as Pillow does it."""
    counts = tf.math.bincount(tf.reshape(channel, [-1]), minlength=256, maxlength=256)
    step = (tf.size(channel) - counts[tf.reduce_max(channel)]) // 255
    before = tf.cumsum(counts, exclusive=True)
    table = tf.minimum((before + step // 2) // tf.maximum(step, 1), 255)
    return tf.where(step > 0, tf.gather(table, channel), channel)


def solarize(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """What is as bright as a threshold, from 256 down to 0, is inverted."""
    return tf.where(picture < 256 * (1 - share), picture, 255 - picture)


def posterize(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """Of each value's eight bits, the lowest are cleared, up to four."""
    step = float(2 ** round(4 * share))
    return tf.floor(picture / step) * step


def _blended(picture: tf.Tensor, other: tf.Tensor, share: float, way: tf.Tensor) -> tf.Tensor:
    """Away from another picture by up to 0.9 of the way, or towards it."""
    return other + (1 + 0.9 * share * way) * (picture - other)


def _grey(picture: tf.Tensor) -> tf.Tensor:
    """[H, W, 1]."""
    if picture.shape[-1] == 1:
        return picture
    return tf.reduce_sum(picture * tf.constant(LUMA), axis=-1, keepdims=True)


def colour(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """More or less colour than the same picture in grey."""
    return _blended(picture, tf.round(_grey(picture)), share, direction)


def contrast(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """More or less contrast with the mean grey."""
    return _blended(picture, tf.round(tf.reduce_mean(tf.round(_grey(picture)))), share, direction)


def brightness(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """Brighter or darker."""
    return _blended(picture, tf.zeros_like(picture), share, direction)


def sharpness(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """Sharper or smoother than a smoothed picture; the border stays."""
    channels = picture.shape[-1]
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    kernels = tf.tile(kernel[:, :, None, None], [1, 1, channels, 1])
    inner = tf.nn.depthwise_conv2d(picture[None], kernels, [1, 1, 1, 1], "VALID")[0]
    border = [[1, 1], [1, 1], [0, 0]]
    smooth = tf.where(
        tf.pad(tf.ones_like(inner), border) > 0, tf.pad(tf.round(inner), border), picture
    )
    return _blended(picture, smooth, share, direction)


def _moved(picture: tf.Tensor, rows: list[list[tf.Tensor | float]]) -> tf.Tensor:
    """Where each place of the result was before: x and y by two rows of numbers."""
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=picture[None],
        transforms=tf.stack([*rows[0], *rows[1], 0.0, 0.0])[None],
        output_shape=tf.shape(picture)[:2],
        fill_value=GREY,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return moved[0]


def rotate(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """Up to 30 degrees about the middle."""
    angle = direction * share * math.radians(30)
    cos, sin = tf.cos(angle), tf.sin(angle)
    y, x = tf.unstack((tf.cast(tf.shape(picture)[:2], tf.float32) - 1) / 2)
    return _moved(picture, [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])


def shear_x(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """Rows slide by up to 0.3 of their distance from the top."""
    return _moved(picture, [[1.0, direction * 0.3 * share, 0.0], [0.0, 1.0, 0.0]])


def shear_y(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """Columns slide by up to 0.3 of their distance from the left."""
    return _moved(picture, [[1.0, 0.0, 0.0], [direction * 0.3 * share, 1.0, 0.0]])


def _far(side: tf.Tensor, share: float) -> tf.Tensor:
    """Pixels of a side: up to 150 of 331 (AutoAugment's largest)."""
    return tf.round(tf.cast(side, tf.float32) * (150 / 331) * share)


def translate_x(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """To the left or right by up to 45 % of the width."""
    far = direction * _far(tf.shape(picture)[1], share)
    return _moved(picture, [[1.0, 0.0, far], [0.0, 1.0, 0.0]])


def translate_y(picture: tf.Tensor, share: float, direction: tf.Tensor) -> tf.Tensor:
    """Up or down by up to 45 % of the height."""
    far = direction * _far(tf.shape(picture)[0], share)
    return _moved(picture, [[1.0, 0.0, 0.0], [0.0, 1.0, far]])


OPERATIONS: dict[str, Operation] = {
    operation.__name__: operation
    for operation in (
        *(identity, auto_contrast, equalize, rotate, solarize, colour, posterize),
        *(contrast, brightness, sharpness, shear_x, shear_y, translate_x, translate_y),
    )
}
