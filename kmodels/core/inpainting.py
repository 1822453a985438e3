"""The endpoints of a network that makes up what is missing from a picture.

Shapes: B batch, S side of a picture.
"""

from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from kmodels.core import drawing, holes, rows
from kmodels.core.codecs.images import Images
from kmodels.core.paper import Endpoint


class Filler(Protocol):
    """A network that fills holes.

    Attributes:
        encoder: Pictures to codes or maps, [B, H, W, K].
    """

    encoder: Any

    @property
    def centre(self) -> np.ndarray:
        """bool [S, S], True where the centre is missing."""

    def filled(self, pictures: tf.Tensor, missing: tf.Tensor) -> tf.Tensor:
        """Pictures [B, S, S, C] with what is missing, bool [B, S, S, 1], made."""


def endpoints(model: Filler, codec: Images, *, any_shape: bool) -> dict[str, Endpoint]:
    """`inpaint` (a picture and what is missing to the whole picture) and `embed` (to a vector).

    What is known stays as it is, to the last bit of a colour. Each row is made by itself, so it is
    the same alone and in company. A mask that is left out is the centre.

    Args:
        any_shape: Whether other holes than the centre may be asked for.
    """
    usual = model.centre

    def one(seen: tf.Tensor, missing: tf.Tensor) -> tf.Tensor:
        return model.filled(seen, missing[..., None])

    def inpaint(image_bytes: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        missing = holes.asked(mask, tf.size(image_bytes), usual=usual, any_shape=any_shape)
        seen = codec.read(image_bytes)
        return drawing.answer(codec, rows.one_by_one(one, [seen, missing], seen.shape[1:]))

    def embed(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        seen = model.encoder(codec.read(image_bytes), training=False)
        return {"embedding": tf.reduce_mean(tf.cast(seen, tf.float32), axis=[1, 2])}

    by_bytes = {"image_bytes": tf.TensorSpec([None], tf.string)}
    files = list(codec.examples)
    fill = Endpoint(
        function=inpaint,
        inputs={**by_bytes, "mask": tf.TensorSpec([None, None, None], tf.uint8)},
        defaults={"mask": [[[]]]},  # without a pixel: the centre
        example={"image_bytes": files, "mask": [usual.astype(int).tolist()] * len(files)},
    )
    code = Endpoint(function=embed, inputs=by_bytes, example={"image_bytes": files})
    return {"serving_default": fill, "inpaint": fill, "embed": code}
