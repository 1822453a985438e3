"""How likely pictures are to a variational autoencoder: importance-weighted bounds."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kmodels import vae
from training import draws as drawn
from training.loop import Evaluator
from training.objectives.elbo import seen
from training.prepared import Prepared

PICTURES = 100
CHUNK = 50  # draws at once


def bounds(model: keras.Model, prepared: Prepared, draws: Sequence[int] = (1, 50)) -> Evaluator:
    """`bound_k` of the first held-out pictures, nats: the mean of L_k, for some numbers of draws.

    Draws, and which grey is black or white, are the same each time.
    """

    @tf.function(autograph=False)
    def mean(image: tf.Tensor) -> list[tf.Tensor]:
        black_and_white = seen(model, drawn.added({"image": image}, model, training=False))
        return [tf.reduce_mean(bound(model, black_and_white, draws=k)) for k in draws]

    def look() -> dict[str, Any]:
        batch = next(iter(prepared.data.batches("eval", PICTURES, seed=0)))
        found = mean(batch["image"])
        return {f"bound_{k}": float(value) for k, value in zip(draws, found, strict=True)}

    return look


def bound(model: keras.Model, image: tf.Tensor, *, draws: int, seed: int = 0) -> tf.Tensor:
    """L_k (Burda et al. 2015, equation 8) with k = `draws`, nats, float32 [B]; traceable.

    Args:
        image: As `vae.log_weights` takes it.
        draws: At most 50, or a multiple of it: so many are held in memory at once.

    Raises:
        ValueError: another number of draws.
    """
    chunk = min(draws, CHUNK)
    if draws < 1 or draws % chunk:
        raise ValueError(f"There are {draws} draws; it must be 1 to {CHUNK}, or a multiple of it.")
    shape = (chunk, tf.shape(image)[0], model.config.latents)

    def more(i: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        noise = tf.random.stateless_normal(shape, seed=tf.stack([seed, i]), alg="philox")
        part = tf.reduce_logsumexp(vae.log_weights(model, image, noise), axis=0)
        return i + 1, tf.reduce_logsumexp(tf.stack([total, part]), axis=0)

    nothing = tf.fill(tf.shape(image)[:1], -math.inf)
    _, total = tf.while_loop(lambda i, _: i < draws // chunk, more, (tf.constant(0), nothing))
    return total - math.log(draws)
