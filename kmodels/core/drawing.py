"""Pictures that a model makes, as callers take them: bytes of colours, and PNG files."""

import tensorflow as tf

from kmodels.core.codecs.images import Images


def answer(codec: Images, seen: tf.Tensor) -> dict[str, tf.Tensor]:
    """What a network sees or makes -> `image`, uint8 [B, size, size, C], and `image_bytes`.

    Args:
        codec: Whose `see` says what the network's numbers mean; others are cut off.
        seen: float [B, size, size, C].

    Returns:
        `image_bytes` are PNG files, string [B].
    """
    image = codec.unsee(tf.cast(seen, tf.float32))

    @tf.autograph.experimental.do_not_convert
    def png(picture: tf.Tensor) -> tf.Tensor:
        return tf.io.encode_png(picture)

    files = tf.map_fn(png, image, fn_output_signature=tf.TensorSpec([], tf.string))
    return {"image": image, "image_bytes": files}
