"""What SimCLR does to a picture so that two views of it differ in all but what it shows.

The order of section 3 and appendix A: a part of it, mirrored or not, its colours shifted, without
colour, blurred. Functions of one picture float32 [H, W, C], here 0 to 1, and a seed int64 [2].
"""

import tensorflow as tf

from training.data import crops
from training.data.labelled import Each

JITTERED, GREY, BLURRED = 0.8, 0.2, 0.5  # shares of pictures


def view(
    size: int,
    *,
    strength: float,
    least: float = 0.08,
    mirror: bool = True,
    blur: bool = False,
) -> Each:
    """One view: [H, W, C] of 0 to 255 and a seed int64 [2] to [size, size, C] of 0 to 255.

    Args:
        strength: s of appendix A, of all changes of colour; at 0 there are none.
        least: Share of the area that a view shows at least.
        mirror: Whether every second view, on average, is mirrored.
        blur: Whether every second one is blurred, as for photographs.
    """
    cut = crops.inception(size, areas=(least, 1.0), kernel="keyscubic")

    def see(picture: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        cuts, sides, colours, greys, blurs = tf.unstack(tf.random.split(seed, 5))
        x = cut(picture, cuts) / 255
        if mirror:
            x = _sometimes(0.5, sides, x, lambda x, seed: x[:, ::-1])
        if strength:
            x = _sometimes(JITTERED, colours, x, lambda x, seed: jittered(x, seed, strength))
            if x.shape[-1] == 3:
                x = _sometimes(GREY, greys, x, _grey)
        if blur:
            x = _sometimes(BLURRED, blurs, x, blurred)
        return 255 * tf.clip_by_value(x, 0, 1)

    return see


def _sometimes(share: float, seed: tf.Tensor, x: tf.Tensor, change: Each) -> tf.Tensor:
    """`change` with that probability."""
    whether, how = tf.unstack(tf.random.split(seed, 2))
    changed = tf.cond(
        tf.random.stateless_uniform([], whether) < share, lambda: change(x, how), lambda: x
    )
    return tf.ensure_shape(changed, x.shape)


def jittered(x: tf.Tensor, seed: tf.Tensor, strength: float) -> tf.Tensor:
    """Brightness, contrast, saturation and hue shifted, in any order; grey has the first two.

    Brightness by up to 0.8 s, added; contrast and saturation by a factor of 1 +- 0.8 s, the least
    being 0; hue by up to 0.2 s of the circle.
    """
    most = 0.8 * strength
    low = max(0.0, 1 - most)
    turns, *seeds = tf.unstack(tf.random.split(seed, 5))

    def drawn(number: int, least: float, largest: float) -> tf.Tensor:
        return tf.random.stateless_uniform([], seeds[number], least, largest)

    changes = [
        lambda x: x + drawn(0, -most, most),
        lambda x: tf.image.adjust_contrast(x, drawn(1, low, 1 + most)),
        lambda x: tf.image.adjust_saturation(x, drawn(2, low, 1 + most)),
        lambda x: tf.image.adjust_hue(x, drawn(3, -0.2 * strength, 0.2 * strength)),
    ]
    if x.shape[-1] == 1:
        changes = changes[:2]
    order = tf.argsort(tf.random.stateless_uniform([len(changes)], turns))
    for place in range(len(changes)):
        each = [lambda change=change, x=x: change(x) for change in changes]
        x = tf.ensure_shape(tf.switch_case(order[place], each), x.shape)
    return x


def _grey(x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.tile(tf.image.rgb_to_grayscale(x), [1, 1, 3])


def blurred(x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """By a Gaussian of a deviation of 0.1 to 2 pixels, over a tenth of the side."""
    deviation = tf.random.stateless_uniform([], seed, 0.1, 2.0)
    radius = x.shape[0] // 20
    at = tf.range(-radius, radius + 1, dtype=tf.float32)
    kernel = tf.exp(-0.5 * tf.square(at / deviation))
    kernel = tf.tile((kernel / tf.reduce_sum(kernel))[:, None, None, None], [1, 1, x.shape[-1], 1])
    once = tf.nn.depthwise_conv2d(x[None], kernel, [1, 1, 1, 1], "SAME")
    across = tf.transpose(kernel, [1, 0, 2, 3])
    return tf.nn.depthwise_conv2d(once, across, [1, 1, 1, 1], "SAME")[0]
