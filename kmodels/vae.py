"""The variational autoencoder: latents that could have made a picture, and what they would make.

An encoder says of a picture which latents may have caused it: a normal distribution, its mean and
its log-variance. One is drawn, mean plus deviation times noise, so that the gradient passes through
the draw; a decoder makes of it a distribution over pictures. Both go up a lower bound of the log
probability of the data (the ELBO): how well the picture is made again, less how far its latents are
from a standard normal. New pictures come from latents drawn from that.

What was new: the draw moved outside (the reparameterisation), so a model with hidden causes learns
by plain gradient descent, in mini-batches, with an inference that is one pass of a network.

Departures. The noise of a picture is drawn once per step, L = 1, as in the paper's experiments. The
importance-weighted bound is of Burda et al. (2015); their output biases begin at the pixels'
averages, here at 0.

Shapes: B batch, S side of a picture, C channels, Z latents, k draws of them.
"""

import dataclasses
import itertools
import math
from typing import Literal

import keras
import tensorflow as tf

from kmodels.core import checks, drawing, rows
from kmodels.core.codecs.images import Images
from kmodels.core.paper import Citation, Endpoint

PAPER = Citation(
    title="Auto-Encoding Variational Bayes",
    authors="Kingma, Welling",
    year=2013,
    url="https://arxiv.org/abs/1312.6114",
)
LEAST = -2 * math.log(255)  # a pixel's log-variance: it is told in steps of 1 / 255


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one network.

    Attributes:
        size: Side of the pictures.
        channels: 3 for colour, 1 for grey.
        hidden: Units of the encoder's layers; the decoder mirrors them.
        latents: Numbers that cause a picture.
        activation: How hidden units bend.
        output: What a pixel is: "bernoulli", black or white, or "gaussian", a number with noise. Of
            grey pixels the first is told black or white by chance each time it learns of them,
            white as often as they are bright.
        mean: Of a Gaussian pixel: "logistic" lies in (0, 1), "linear" anywhere.
        variance: Of a Gaussian pixel; None has it learnt, for each pixel and picture (appendix C).
    """

    size: int = 28
    channels: int = 1
    hidden: tuple[int, ...] = (500,)
    latents: int = 20
    activation: Literal["tanh", "relu", "softplus"] = "tanh"
    output: Literal["bernoulli", "gaussian"] = "bernoulli"
    mean: Literal["logistic", "linear"] = "logistic"
    variance: float | None = None

    def __post_init__(self) -> None:
        checks.at_least_one(self, "size", "latents")
        checks.channels(self)
        checks.choices(self, "activation", "output", "mean")
        if min(self.hidden, default=1) < 1:
            raise ValueError(
                f"config.hidden is {self.hidden}; it must hold numbers of at least 1, or none."
            )
        if self.variance is not None and not 0 < self.variance < math.inf:
            raise ValueError(f"config.variance is {self.variance}; it must be above 0.")
        if self.output == "bernoulli" and (self.variance is not None or self.mean == "linear"):
            raise ValueError(
                "config.output is 'bernoulli', which has no variance and a logistic mean; leave "
                "both out, or give config.output 'gaussian'."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a picture."""
        return self.size, self.size, self.channels

    @property
    def learns_variance(self) -> bool:
        """Whether the decoder says how sure it is of each pixel."""
        return self.output == "gaussian" and self.variance is None


PRESETS = {
    "tiny": Config(size=8, hidden=(16,), latents=2),
    "digits": Config(size=8, hidden=(256, 128), latents=8),
    "digits-2d": Config(size=8, hidden=(256, 128), latents=2),
    # Linear, of one variance: probabilistic principal component analysis.
    "linear": Config(
        size=8,
        hidden=(),
        latents=8,
        output="gaussian",
        mean="linear",
        variance=0.03,
    ),
    # Section 5: 500 units for MNIST, 200 for Frey's face, there 28 x 20 pixels, here square.
    "mnist": Config(),
    "mnist-2d": Config(latents=2),  # figure 4 (b)
    "frey": Config(hidden=(200,), latents=10, output="gaussian"),
    # Burda et al. 2015, one stochastic layer: two of 200 tanh, 50 latents.
    "burda": Config(hidden=(200, 200), latents=50),
}


def _dense(units: int, name: str, *, activation: str | None = None) -> keras.layers.Dense:
    """Weights begin at N(0, 0.01), read as a variance (section 5)."""
    return keras.layers.Dense(
        units,
        activation=activation,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.1),
        dtype=None if activation else "float32",
        name=name,
    )


def encoder(config: Config) -> keras.Model:
    """Pictures [B, S, S, C] -> `mean` and `logvar` of their latents, float32 [B, Z]."""
    picture = keras.Input(config.shape, name="image")
    x = keras.layers.Flatten(name="row")(picture)
    for i, units in enumerate(config.hidden):
        x = _dense(units, f"layer_{i}", activation=config.activation)(x)
    heads = {name: _dense(config.latents, name)(x) for name in ("mean", "logvar")}
    return keras.Model(picture, heads, name="encoder")


def decoder(config: Config) -> keras.Model:
    """Latents [B, Z] -> `pixels` before they are bent, and `logvar`, each float32 [B, S, S, C]."""
    x = latent = keras.Input((config.latents,), name="latent")
    for i, units in enumerate(reversed(config.hidden)):
        x = _dense(units, f"layer_{i}", activation=config.activation)(x)
    heads = {}
    for name in ("pixels", "logvar") if config.learns_variance else ("pixels",):
        row = _dense(math.prod(config.shape), name)(x)
        heads[name] = keras.layers.Reshape(config.shape, name=f"{name}_of_image")(row)
    return keras.Model(latent, heads, name="decoder")


class VAE(keras.Model):
    """Pictures [B, S, S, C] -> pixels [B, S, S, C] of their latents' mean, before they are bent."""

    def __init__(self, config: Config) -> None:
        super().__init__(name="vae")
        self.config = config
        with keras.name_scope("encoder"):
            self.encoder = encoder(config)
        with keras.name_scope("decoder"):
            self.decoder = decoder(config)
        self.seeds = keras.random.SeedGenerator(name="seeds")  # of latents, and of black and white
        self.built = True  # both parts are

    @property
    def draws(self) -> dict[str, rows.Draw]:
        """What the bound draws for each row of a batch; see `training.draws`."""
        noise = {"noise": rows.Draw("normal", (self.config.latents,))}
        if self.config.output == "gaussian":
            return noise
        return {**noise, "chance": rows.Draw("uniform", self.config.shape)}

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        latent = self.encoder(image, training=training)["mean"]
        return self.decoder(latent, training=training)["pixels"]

    def picture(self, pixels: tf.Tensor) -> tf.Tensor:
        """Pixels as `decoder` gives them -> their mean, a picture as the encoder takes it."""
        return tf.sigmoid(pixels) if self.config.mean == "logistic" else pixels

    def log_likelihood(self, image: tf.Tensor, latent: tf.Tensor) -> tf.Tensor:
        """log p(x | z) in nats, float32 [B], summed over pixels (appendix C).

        Args:
            image: [B, S, S, C].
            latent: [B, Z].
        """
        made = self.decoder(latent)
        pixels = tf.cast(made["pixels"], tf.float32)
        if self.config.output == "bernoulli":
            terms = -tf.nn.sigmoid_cross_entropy_with_logits(labels=image, logits=pixels)
            return tf.reduce_sum(terms, axis=(1, 2, 3))
        if self.config.variance is not None:
            logvar = tf.fill(tf.shape(pixels), math.log(self.config.variance))
        else:
            logvar = tf.maximum(tf.cast(made["logvar"], tf.float32), LEAST)
        return tf.reduce_sum(_log_normal(image, self.picture(pixels), logvar), axis=(1, 2, 3))


def _log_normal(x: tf.Tensor, mean: tf.Tensor | float, logvar: tf.Tensor) -> tf.Tensor:
    """log N(x; mean, exp(logvar)), elementwise."""
    return -0.5 * (math.log(2 * math.pi) + logvar + (x - mean) ** 2 * tf.exp(-logvar))


def latents(mean: tf.Tensor, logvar: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Equation 10: z = mean + deviation * noise, [..., B, Z]."""
    return mean + tf.exp(0.5 * logvar) * noise


def divergence(mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    """Of N(mean, exp(logvar)) from the standard normal, nats, [B, Z] -> [B] (appendix B)."""
    return -0.5 * tf.reduce_sum(1 + logvar - mean**2 - tf.exp(logvar), axis=-1)


def log_weights(model: VAE, image: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """log p(x, z) - log q(z | x) of latents drawn from q, nats, float32 [k, B].

    Args:
        image: As the model is to explain it: black and white for a Bernoulli.
        noise: Standard normal, float32 [k, B, Z].
    """
    q = model.encoder(image)
    z = latents(q["mean"], q["logvar"], noise)
    k, count = tf.shape(noise)[0], tf.shape(noise)[1]
    images = tf.tile(image, [k, 1, 1, 1])
    known = tf.reshape(model.log_likelihood(images, tf.reshape(z, (-1, z.shape[-1]))), (k, count))
    prior = _log_normal(z, 0.0, tf.zeros_like(z))
    posterior = _log_normal(z, q["mean"], q["logvar"])
    return known + tf.reduce_sum(prior - posterior, axis=-1)


def bound(weights: tf.Tensor) -> tf.Tensor:
    """Burda et al. 2015, equation 8: L_k, log of the mean weight, [k, B] -> [B], nats.

    One draw makes it an estimate of the ELBO, more make it tighter on average.
    """
    count = tf.cast(tf.shape(weights)[0], tf.float32)
    return tf.reduce_logsumexp(weights, axis=0) - tf.math.log(count)


def build(config: Config) -> VAE:
    """The network, its weights created."""
    return VAE(config)


def param_count(config: Config) -> int:
    """How many parameters `build(config)` makes, without making them."""
    pixels = math.prod(config.shape)
    inside = [pixels, *config.hidden, 2 * config.latents]
    outside = [config.latents, *config.hidden[::-1], pixels * (1 + config.learns_variance)]
    pairs = (*itertools.pairwise(inside), *itertools.pairwise(outside))
    return sum((a + 1) * b for a, b in pairs)


def endpoints(model: VAE, codec: Images) -> dict[str, Endpoint]:
    """`sample` from a seed, `encode`, `decode`, and `reconstruct` from the mean of the latents.

    Pictures are encoded as they are: a Bernoulli's grey is its average of black and white.
    """
    count = model.config.latents

    def drawn(latent: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = rows.together(model.decoder, latent)["pixels"]
        return drawing.answer(codec, model.picture(pixels))

    def sample(seed: tf.Tensor) -> dict[str, tf.Tensor]:
        latent = rows.normal(seed, [count])
        return {**drawn(latent), "latent": latent}

    def encode(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(rows.together(model.encoder, codec.read(image_bytes)))

    def decode(latent: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies(rows.check_finite("latent", latent)):
            return drawn(tf.identity(latent))

    def reconstruct(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return drawn(encode(image_bytes)["mean"])

    by_bytes = {"image_bytes": tf.TensorSpec([None], tf.string)}
    example = {"image_bytes": list(codec.examples)}
    by_seed = Endpoint(
        function=sample,
        inputs={"seed": tf.TensorSpec([None], tf.int64)},
        example={"seed": [1, 2]},
    )
    return {
        "serving_default": by_seed,
        "sample": by_seed,
        "encode": Endpoint(function=encode, inputs=by_bytes, example=example),
        "decode": Endpoint(
            function=decode,
            inputs={"latent": tf.TensorSpec([None, count], tf.float32)},
            example={"latent": [[0.0] * count, [1.0] * count]},
        ),
        "reconstruct": Endpoint(function=reconstruct, inputs=by_bytes, example=example),
    }
