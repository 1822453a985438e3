"""GAN: two networks that play against each other, one forging and one telling forgeries apart.

The generator turns random numbers into examples. The discriminator sees real examples and these,
and says of each how surely it is real. It learns to tell them apart; the generator learns, through
the discriminator's gradient, to make it err. Where both are at their best, what is made has the
distribution of the data, and the discriminator can but say one half.

What was new: a generator that is trained by back-propagation alone, without a likelihood, a Markov
chain or an approximate posterior; and an adversary in the place of a loss that somebody wrote down.

The presets `points` are the networks of PacGAN (Lin et al. 2018), made to count which modes of a
mixture are found. Their discriminator may judge several examples as one ("packing"): a generator
that says the same thing again and again is then told apart at once.

Departures. The authors' program begins the generator's last biases at the pixels' marginals, here
they begin at zero; it keeps the columns of the discriminator's weights below a norm, here nothing
does. Batch normalisation, which only `points` have, uses the moving statistics of training when it
answers, so that an answer does not depend on the company in which it was asked for.

Shapes: B batch, Z numbers of a latent, m examples in a pack, P = B / m packs.
"""

import dataclasses
import itertools
import math
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import ops

from kmodels.core import checks, drawing, rows
from kmodels.core.codecs.features import Features
from kmodels.core.codecs.images import Images
from kmodels.core.normalisation import batch_norm
from kmodels.core.paper import Citation, Endpoint

PAPER = Citation(
    title="Generative Adversarial Nets",
    authors="Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio",
    year=2014,
    url="https://arxiv.org/abs/1406.2661",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shapes of the two networks.

    Attributes:
        inputs: Shape of one example: a picture, or a row of numbers.
        latent: Random numbers that an example is made of.
        prior: Their distribution: "normal", or "uniform" on +-sqrt(3); both have variance 1.
        hidden: Units of the generator's layers.
        batch_norm: Whether the generator's layers are normalised; they then have no biases.
        statistics: Over what: "replica", or "all" replicas together.
        output: "sigmoid" for pixels from 0 to 1, "linear" for numbers of any size.
        maxout: Units of the discriminator's layers.
        pieces: Linear maps of which a unit takes the largest.
        packing: Examples that the discriminator judges as one.
        input_dropout: Rate in [0, 1) on what the discriminator sees.
        dropout: Rate in [0, 1) on its layers.
        generator_range: Its matrices begin uniform on +- this; None takes Glorot's.
        discriminator_range: The same of the discriminator's.
    """

    inputs: tuple[int, ...] = (28, 28, 1)
    latent: int = 100
    prior: Literal["normal", "uniform"] = "uniform"
    hidden: tuple[int, ...] = (1200, 1200)
    batch_norm: bool = False
    statistics: Literal["replica", "all"] = "replica"
    output: Literal["sigmoid", "linear"] = "sigmoid"
    maxout: tuple[int, ...] = (240, 240)
    pieces: int = 5
    packing: int = 1
    input_dropout: float = 0.2
    dropout: float = 0.5
    generator_range: float | None = 0.05
    discriminator_range: float | None = 0.005

    def __post_init__(self) -> None:
        for name in ("inputs", "hidden", "maxout"):
            if min(getattr(self, name), default=0) < 1:
                raise ValueError(
                    f"config.{name} is {getattr(self, name)}; it must hold numbers of at least 1."
                )
        checks.at_least_one(self, "latent", "pieces", "packing")
        checks.rates(self, "input_dropout", "dropout")
        checks.choices(self, "prior", "statistics", "output")
        for name in ("generator_range", "discriminator_range"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"config.{name} is {value}; it must be above 0, or None.")


_POINTS = Config(
    inputs=(2,),
    latent=2,
    prior="normal",
    hidden=(400,) * 4,
    batch_norm=True,
    output="linear",
    maxout=(200,) * 3,
    input_dropout=0.0,
    dropout=0.0,
    generator_range=None,
    discriminator_range=None,
)

PRESETS = {
    "tiny": Config(
        inputs=(4, 4, 1),
        latent=4,
        hidden=(16,),
        maxout=(8,),
        pieces=2,
        input_dropout=0.1,
        dropout=0.1,
        generator_range=None,
        discriminator_range=None,
    ),
    "digits": Config(
        inputs=(8, 8, 1),
        latent=32,
        hidden=(256, 256),
        maxout=(96, 96),
        input_dropout=0.0,
        dropout=0.3,
        generator_range=None,
        discriminator_range=None,
    ),
    # The authors' program for MNIST.
    "mnist": Config(),
    # PacGAN's networks for the ring of 8 and the grid of 25: one, two and four in a pack.
    "points": _POINTS,
    "points-pac2": dataclasses.replace(_POINTS, packing=2),
    "points-pac4": dataclasses.replace(_POINTS, packing=4),
}


@dataclasses.dataclass(frozen=True)
class Prior:
    """What latents [..., Z] are drawn from: normal, or uniform on +- a bound."""

    kind: Literal["normal", "uniform"]
    width: int
    bound: float = 1.0

    @property
    def draw(self) -> rows.Draw:
        """What is drawn for each row; `latents` makes latents of it."""
        return rows.Draw(self.kind, (self.width,))

    def latents(self, drawn: tf.Tensor) -> tf.Tensor:
        """Of standard normal numbers [B, Z], or of uniform ones in [0, 1)."""
        return drawn if self.kind == "normal" else (2 * drawn - 1) * self.bound


class Adversaries(keras.Model):
    """A generator and a discriminator; called with latents [B, Z], it generates.

    Args:
        generator: [B, Z] to examples [B, ..., C].
        discriminator: Packs [P, ..., m C] to logits [P, 1] of being real.
        packing: m.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        prior: Prior,
        packing: int = 1,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self.generator, self.discriminator = generator, discriminator
        self.prior, self.packing = prior, packing
        self.seeds = keras.random.SeedGenerator()
        self.built = True

    @property
    def draws(self) -> dict[str, rows.Draw]:
        """What training draws for each row of a batch; see `training.draws`."""
        return {"latent": self.prior.draw}

    def call(self, latents: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.generator(latents, training=training)

    def packed(self, values: tf.Tensor) -> tf.Tensor:
        """Rows that follow each other as one: [B, ...] to [P, m, ...]; what fills no pack ends."""
        count = (values.shape[0] or tf.shape(values)[0]) // self.packing
        shape = [count, self.packing, *values.shape[1:]]
        return tf.reshape(values[: count * self.packing], shape)

    def judge(self, seen: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Examples [B, ..., C] -> float32 logits [P] of being real."""
        packs = tf.concat(tf.unstack(self.packed(seen), axis=1), axis=-1)
        return tf.cast(self.discriminator(packs, training=training)[:, 0], tf.float32)


def _start(bound: float | None) -> keras.initializers.Initializer:
    uniform = keras.initializers.RandomUniform
    return keras.initializers.GlorotUniform() if bound is None else uniform(-bound, bound)


def generator(config: Config) -> keras.Model:
    """float32 latents [B, Z] -> examples [B, *inputs]."""
    latents = x = keras.Input((config.latent,), name="latent")
    for i, units in enumerate(config.hidden):
        x = keras.layers.Dense(
            units,
            use_bias=not config.batch_norm,
            kernel_initializer=_start(config.generator_range),
            name=f"generator_{i}",
        )(x)
        if config.batch_norm:
            x = batch_norm(config, f"generator_norm_{i}")(x)
        x = keras.layers.Activation("relu", name=f"generator_bend_{i}")(x)
    x = keras.layers.Dense(
        math.prod(config.inputs),
        activation=config.output,
        kernel_initializer=_start(config.generator_range),
        dtype="float32",
        name="generator_output",
    )(x)
    return keras.Model(latents, keras.layers.Reshape(config.inputs)(x), name="generator")


def discriminator(config: Config) -> keras.Model:
    """Packs [P, ..., m C] -> logits [P, 1]: units that take the largest of some linear maps."""
    *sides, channels = config.inputs
    seen = keras.Input((*sides, channels * config.packing), name="seen")
    x = keras.layers.Flatten()(seen)
    x = keras.layers.Dropout(config.input_dropout, name="discriminator_input_dropout")(x)
    for i, units in enumerate(config.maxout):
        x = keras.layers.Dense(
            units * config.pieces,
            kernel_initializer=_start(config.discriminator_range),
            name=f"discriminator_{i}",
        )(x)
        x = ops.max(keras.layers.Reshape((units, config.pieces))(x), axis=-1)
        x = keras.layers.Dropout(config.dropout, name=f"discriminator_dropout_{i}")(x)
    logits = keras.layers.Dense(
        1,
        kernel_initializer=_start(config.discriminator_range),
        dtype="float32",
        name="discriminator_logits",
    )(x)
    return keras.Model(seen, logits, name="discriminator")


def build(config: Config) -> Adversaries:
    """Both networks, their weights created and initialised."""
    return Adversaries(
        generator(config),
        discriminator(config),
        prior=Prior(config.prior, config.latent, math.sqrt(3)),
        packing=config.packing,
        name="gan",
    )


def generator_count(config: Config) -> int:
    """How many trainable parameters the generator has."""
    sizes = [config.latent, *config.hidden]
    beside = 2 if config.batch_norm else 1  # scale and shift, or a bias
    hidden = sum((a + beside) * b for a, b in itertools.pairwise(sizes))
    return hidden + (sizes[-1] + 1) * math.prod(config.inputs)


def discriminator_count(config: Config) -> int:
    """How many trainable parameters the discriminator has."""
    sizes = [math.prod(config.inputs) * config.packing, *config.maxout]
    hidden = sum((a + 1) * b * config.pieces for a, b in itertools.pairwise(sizes))
    return hidden + sizes[-1] + 1


def param_count(config: Config) -> int:
    """How many trainable parameters `build(config)` makes, without making them."""
    return generator_count(config) + discriminator_count(config)


def endpoints(model: Adversaries, codec: Images | Features) -> dict[str, Endpoint]:
    """`generate` (seeds to examples), `generate_from_latent` (numbers of one's own to examples).

    Pictures are answered as `image` and `image_bytes`, rows of numbers as `features`. Each row is
    made by itself, with the averaged weights where a run averages and with batch normalisation's
    moving statistics, so it is the same alone and in company.
    """
    shape, width = model.generator.output.shape[1:], model.prior.width

    def one(latent: tf.Tensor) -> tf.Tensor:
        return tf.cast(model.generator(latent, training=False), tf.float32)

    def made(latents: tf.Tensor) -> dict[str, tf.Tensor]:
        seen = rows.one_by_one(one, [latents], shape)
        return drawing.answer(codec, seen) if isinstance(codec, Images) else {"features": seen}

    def generate(seed: tf.Tensor) -> dict[str, tf.Tensor]:
        draw = {"normal": rows.normal, "uniform": rows.uniform}[model.prior.kind]
        return made(model.prior.latents(draw(seed, (width,))))

    def generate_from_latent(latent: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies(rows.check_finite("latent", latent)):
            return made(tf.identity(latent))

    by_seed = Endpoint(
        function=generate,
        inputs={"seed": tf.TensorSpec([None], tf.int64)},
        example={"seed": [0, 1]},
    )
    by_latent = Endpoint(
        function=generate_from_latent,
        inputs={"latent": tf.TensorSpec([None, width], tf.float32)},
        example={"latent": _corners(width)},
    )
    return {
        "serving_default": by_seed,
        "generate": by_seed,
        "generate_from_latent": by_latent,
    }


def _corners(width: int) -> list[list[Any]]:
    """Two latents: the middle, and one that goes from -1 to 1."""
    return [[0.0] * width, [2 * i / max(width - 1, 1) - 1 for i in range(width)]]
