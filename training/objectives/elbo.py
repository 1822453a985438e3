"""The lower bound of the log probability of pictures that a variational autoencoder goes up."""

import keras
import tensorflow as tf

from kmodels import vae
from training.step import WEIGHT, Batch, Logs


def elbo(model: keras.Model, batch: Batch, *, training: bool) -> tuple[tf.Tensor, Logs]:
    """Minus the bound, nats a picture: `reconstruction` + `kl` (equation 7 with L = 1).

    `image`, float32 [B, S, S, C], is explained by latents drawn once, with `noise` [B, Z],
    in evaluations too: there the draws are the same each time, and the same for the picture at the
    same place of every batch. So is the `chance` by which grey becomes black or white.

    Logs both parts: minus log p(x | z), summed over pixels, and the divergence of the latents from
    their prior, in closed form (appendix B). Where the batch has a `mask` [B] of 0 and 1, all means
    are over the pictures with a 1.
    """
    image = seen(model, batch)
    q = model.encoder(image, training=training)
    latent = vae.latents(q["mean"], q["logvar"], batch["noise"])
    counted = batch.get("mask", tf.ones_like(image[:, 0, 0, 0]))
    weight = tf.reduce_sum(counted)

    def mean(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(values * counted) / tf.maximum(weight, 1.0)

    reconstruction = -mean(model.log_likelihood(image, latent))
    kl = mean(vae.divergence(q["mean"], q["logvar"]))
    return reconstruction + kl, {WEIGHT: weight, "reconstruction": reconstruction, "kl": kl}


def seen(model: keras.Model, batch: Batch) -> tf.Tensor:
    """`image` as it is explained: Bernoulli pixels are 1 where `chance` is below their brightness.

    Thrown anew at each step, that is dynamic binarisation (Burda et al. 2015, section 5).
    """
    image = batch["image"]
    if model.config.output != "bernoulli":
        return image
    return tf.cast(batch["chance"] < image, image.dtype)
