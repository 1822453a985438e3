"""Which way up a photograph is: the EXIF orientation of a JPEG, read inside the graph.

Cameras store what the sensor saw and note how it was held (EXIF 2.32, section 4.6.4, tag 0x0112).
"""

import tensorflow as tf

UPRIGHT = 1


def orientation(content: tf.Tensor) -> tf.Tensor:
    """string [], a JPEG -> int32 [] in [1, 8]; 1 where none is noted, or not readably."""
    noted = tf.size(tf.strings.split(content, b"Exif")) > 1  # most pictures are done with here
    found: tf.Tensor = tf.cond(noted, lambda: _noted(content), lambda: tf.constant(UPRIGHT))
    return found


def _noted(content: tf.Tensor) -> tf.Tensor:
    """The orientation of a JPEG that seems to note one."""
    raw = tf.cast(tf.io.decode_raw(content, tf.uint8), tf.int32)
    end = tf.size(raw)

    def number(at: tf.Tensor, count: int, little: tf.Tensor | bool = False) -> tf.Tensor:
        """An unsigned number of `count` bytes; what lies past the end counts as 0."""
        places = at + tf.range(count)
        inside = tf.logical_and(places >= 0, places < end)
        values = tf.where(inside, tf.gather(raw, tf.where(inside, places, 0)), 0)
        values = tf.cond(tf.convert_to_tensor(little), lambda: values[::-1], lambda: values)
        return tf.reduce_sum(values * tf.constant([256**i for i in reversed(range(count))]))

    def is_exif(at: tf.Tensor) -> tf.Tensor:
        return tf.logical_and(
            tf.equal(number(at, 2), 0xFFE1),
            tf.logical_and(
                tf.equal(number(at + 4, 3), 0x457869), tf.equal(number(at + 7, 1), 0x66)
            ),
        )

    def goes_on(at: tf.Tensor) -> tf.Tensor:
        """While at a segment that is neither EXIF nor the beginning of the picture."""
        marker = number(at, 2)
        segment = tf.logical_and(marker >= 0xFFC0, tf.not_equal(marker, 0xFFDA))
        return tf.logical_and(segment, tf.logical_not(is_exif(at)))

    at = tf.while_loop(
        goes_on, lambda at: (at + 2 + tf.maximum(number(at + 2, 2), 2),), [tf.constant(2)]
    )[0]
    tiff = at + 10
    little = tf.equal(number(tiff, 1), 0x49)
    directory = tiff + number(tiff + 4, 4, little)
    entries = tf.minimum(number(directory, 2, little), 64)

    @tf.autograph.experimental.do_not_convert
    def noted(i: tf.Tensor) -> tf.Tensor:
        entry = directory + 2 + 12 * i
        is_orientation = tf.equal(number(entry, 2, little), 0x0112)
        return tf.where(is_orientation, number(entry + 8, 2, little), 0)

    found = tf.reduce_max(tf.map_fn(noted, tf.range(entries)), axis=0)
    good = tf.reduce_all([is_exif(at), found >= 1, found <= 8])
    return tf.where(good, found, UPRIGHT)


def upright(picture: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors [H, W, C] to the way it was seen; [W, H, C] where it lay on its side."""

    def among(*values: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(orientation, tf.constant(values)))

    turned = tf.cond(
        orientation >= 5, lambda: tf.transpose(picture, (1, 0, 2)), lambda: tf.identity(picture)
    )
    turned = tf.cond(among(2, 3, 6, 7), lambda: turned[:, ::-1], lambda: tf.identity(turned))
    return tf.cond(among(3, 4, 7, 8), lambda: turned[::-1], lambda: tf.identity(turned))
