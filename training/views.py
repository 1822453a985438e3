"""Several views of a picture, their class probabilities averaged: 10-crop and dense evaluation."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal, cast

import keras
import tensorflow as tf

from kmodels.core import classifying
from kmodels.core.codecs.images import Images
from kmodels.core.paper import Paper
from training.config import Run, UserError, check
from training.data.labelled import Examples
from training.objectives.classification import classification
from training.step import Batch, Logs

Kind = Literal["1-crop", "10-crop", "dense"]
Network = Callable[[keras.Model, tf.Tensor], tf.Tensor]  # and pictures [B, h, w, C], to logits


def ten_crops(pictures: tf.Tensor, size: int) -> tf.Tensor:
    """[..., H, W, C] -> [..., 10, size, size, C]: corners and centre, then these mirrored.

    Krizhevsky et al. 2012, section 4.1. The corners are top left, top right, bottom left, bottom
    right.
    """
    bottom, right = tf.shape(pictures)[-3] - size, tf.shape(pictures)[-2] - size
    places = ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2))
    cut = [pictures[..., top : top + size, left : left + size, :] for top, left in places]
    five = tf.stack(cut, axis=-4)
    ten = tf.concat([five, five[..., ::-1, :]], axis=-4)
    return tf.ensure_shape(ten, [*pictures.shape[:-3], 10, size, size, pictures.shape[-1]])


def mirrored(pictures: tf.Tensor) -> tf.Tensor:
    """[..., H, W, C] -> [..., 2, H, W, C]: as it is, and mirrored (VGG, section 3.2)."""
    return tf.stack([pictures, pictures[..., ::-1, :]], axis=-4)


@dataclasses.dataclass(frozen=True)
class Views:
    """What a network looks at in place of the middle of a picture.

    Attributes:
        kind: "10-crop", or "dense": the whole picture and its mirror image.
        scale: Pixels of the short side that pictures are resized to before.
        network: What gives logits of the views.
    """

    kind: Kind
    codec: Images
    scale: int
    network: Network

    @property
    def count(self) -> int:
        """Views of one picture."""
        return 10 if self.kind == "10-crop" else 2

    def see(self, pictures: tf.Tensor) -> tf.Tensor:
        """Decoded pictures, 0 to 255, float32 [..., H, W, C] -> views [..., V, h, w, C]."""
        whole = self.codec.resized(pictures, self.scale)
        found = ten_crops(whole, self.codec.size) if self.kind == "10-crop" else mirrored(whole)
        return self.codec.see(found)

    def objective(self, model: keras.Model, batch: Batch, *, training: bool) -> tuple[Any, Logs]:
        """`classification` by the mean of the views' probabilities; `image` is [B, V, h, w, C]."""

        def mean(views: tf.Tensor, *, training: bool) -> tf.Tensor:
            sides = zip(views.shape[2:], tf.unstack(tf.shape(views))[2:], strict=True)
            each = [dynamic if static is None else static for static, dynamic in sides]
            logits = classifying.main(self.network(model, tf.reshape(views, [-1, *each])))
            by_view = tf.reshape(tf.nn.log_softmax(logits), [-1, self.count, logits.shape[-1]])
            return tf.reduce_logsumexp(by_view, axis=1) - math.log(self.count)

        return classification(cast(keras.Model, mean), batch, training=training)

    def data(self, examples: Examples) -> Examples:
        """The examples as these views."""
        if None not in examples.source.eval.shape:
            return dataclasses.replace(examples, see=self.see)

        def one(picture: tf.Tensor) -> tf.Tensor:
            return self.see(tf.cast(picture, tf.float32))

        def rest(seen: tf.Tensor) -> tf.Tensor:
            return seen if seen.shape.rank == 5 else self.see(seen)

        return dataclasses.replace(examples, fit=one, see=rest)

    def run(self, run: Run, examples: Examples, replicas: int) -> Run:
        """The run with fewer pictures in a batch, as many as have its number of views in all.

        Whole pictures of different sides do not go into one batch.
        """
        recipe = run.recipe
        size = max(1, recipe.batch_size // self.count // replicas) * replicas
        if self.kind == "dense" and None in examples.source.eval.shape:
            size = 1
        batches = -(-recipe.eval_batches * recipe.batch_size // size)
        smaller = dataclasses.replace(recipe, batch_size=size, eval_batches=batches)
        return dataclasses.replace(run, recipe=smaller)


def _as_it_is(model: keras.Model, pictures: tf.Tensor) -> tf.Tensor:
    return model(pictures, training=False)


def choose(kind: Kind, scale: int | None, *, model: str, paper: Paper, codec: Any) -> Views | None:
    """The views of a run's network; None is its usual one.

    Args:
        model: The paper's name.
        scale: None is the short side at which the run saw pictures.

    Raises:
        UserError: the network cannot be shown such views.
    """
    if kind == "1-crop":
        if scale is not None:
            raise UserError(f"--scale={scale} is for --views=10-crop and --views=dense.")
        return None
    if not isinstance(codec, Images):
        raise UserError(f"--views={kind} is for pictures, and this run of {model} sees none.")
    network: Network = _as_it_is
    if kind == "dense":
        if not hasattr(paper, "dense"):
            raise UserError(
                f"--views=dense needs a network that runs over pictures of any size, and {model} "
                "does not; --views=10-crop works."
            )
        if len(codec.mean) > codec.channels:
            raise UserError("--views=dense needs one mean a channel; this run's is a picture.")
        network = paper.dense
    scale = (codec.short or codec.size) if scale is None else scale
    check(scale >= codec.size, "--scale", scale, f"be at least {codec.size}, the network's side")
    return Views(kind, codec, scale, network)
