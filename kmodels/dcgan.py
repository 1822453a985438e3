"""DCGAN: a GAN of convolutions that trains.

The generator begins with a map of 4 x 4 and doubles its side with each transposed convolution, to
a picture; the discriminator halves a picture with each convolution, to a map of 4 x 4 and one
number.

What was new: the rules by which convolutional GANs became stable (section 3). No pooling, strides
instead; no hidden fully connected layers; batch normalisation in both networks, but not on the
generator's output nor on the discriminator's first layer; ReLU in the generator with tanh at its
end, leaky ReLU in the discriminator. And that latents can be added and subtracted: a man with
glasses minus a man plus a woman is a woman with glasses.

Departures. The authors' program normalises by the statistics of the batch also when it samples;
here an answer takes the moving statistics of training, frozen, so that it does not depend on what
else was asked for. Batch normalisation's epsilon is 1e-5, theirs 1e-8. Keras pads a strided
transposed convolution otherwise than Theano and PyTorch, by one pixel: to train it is no matter,
but weights of theirs need a shift. As there, no layer has a bias but those of the normalisations,
and the first of these has a scale for every unit of the map, not for every channel.

Shapes: B batch, Z numbers of a latent, S side of a picture, C its colours, W width.
"""

import dataclasses
import itertools
from typing import Literal

import keras

from kmodels import gan
from kmodels.core import checks
from kmodels.core.codecs.images import Images
from kmodels.core.normalisation import batch_norm
from kmodels.core.paper import Citation, Endpoint

PAPER = Citation(
    title="Unsupervised Representation Learning with Deep Convolutional Generative Adversarial "
    "Networks",
    authors="Radford, Metz, Chintala",
    year=2015,
    url="https://arxiv.org/abs/1511.06434",
)

FIRST = 4  # pixels a side of the smallest map
KERNEL = 5
SLOPE = 0.2  # of the leaky ReLU


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shapes of the two networks.

    Attributes:
        size: Side of a picture: 8, 16, 32 ...
        channels: 3 for colour, 1 for grey.
        latent: Random numbers that a picture is made of, uniform on +-1.
        width: Channels of the largest map; each one half as large has twice as many.
        statistics: Over what batches are normalised: "replica", or "all" replicas together.
    """

    size: int = 64
    channels: int = 3
    latent: int = 100
    width: int = 128
    statistics: Literal["replica", "all"] = "replica"

    def __post_init__(self) -> None:
        checks.at_least_one(self, "latent", "width")
        checks.channels(self)
        checks.choices(self, "statistics")
        if self.size < 2 * FIRST or self.size.bit_count() != 1:
            raise ValueError(f"config.size is {self.size}; it must be 8, 16, 32 and so on.")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the maps, the largest map first: one map for each halving of the side."""
        halvings = (self.size // FIRST).bit_length() - 1
        return tuple(self.width * 2**i for i in range(halvings))


PRESETS = {
    "tiny": Config(size=16, channels=1, latent=4, width=4, statistics="all"),
    "digits": Config(size=16, channels=1, latent=32, width=32),
    # Figure 1; 128 channels in the authors' program.
    "dcgan-64": Config(),
}


def _normal(mean: float = 0.0) -> keras.initializers.Initializer:
    """Section 4: weights begin at N(0, 0.02); in the authors' program scales at N(1, 0.02)."""
    return keras.initializers.RandomNormal(mean=mean, stddev=0.02)


def generator(config: Config) -> keras.Model:
    """float32 latents [B, Z] -> pictures [B, S, S, C] from -1 to 1."""
    latents = keras.Input((config.latent,), name="latent")
    *outer, deepest = config.widths
    x = keras.layers.Dense(
        FIRST * FIRST * deepest,
        use_bias=False,
        kernel_initializer=_normal(),
        name="generator_project",
    )(latents)
    x = batch_norm(config, "generator_norm_project", gamma=_normal(1.0))(x)
    x = keras.layers.Reshape((FIRST, FIRST, deepest))(keras.layers.ReLU()(x))
    for i, channels in enumerate((*reversed(outer), config.channels)):
        last = i == len(outer)
        x = keras.layers.Conv2DTranspose(
            channels,
            KERNEL,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer=_normal(),
            name=f"generator_{i}",
        )(x)
        if not last:
            x = batch_norm(config, f"generator_norm_{i}", gamma=_normal(1.0))(x)
            x = keras.layers.ReLU()(x)
    x = keras.layers.Activation("tanh", dtype="float32", name="generator_output")(x)
    return keras.Model(latents, x, name="generator")


def discriminator(config: Config) -> keras.Model:
    """Pictures [B, S, S, C] from -1 to 1 -> logits [B, 1]."""
    seen = x = keras.Input((config.size, config.size, config.channels), name="seen")
    for i, channels in enumerate(config.widths):
        x = keras.layers.Conv2D(
            channels,
            KERNEL,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer=_normal(),
            name=f"discriminator_{i}",
        )(x)
        if i:
            x = batch_norm(config, f"discriminator_norm_{i}", gamma=_normal(1.0))(x)
        x = keras.layers.LeakyReLU(negative_slope=SLOPE)(x)
    logits = keras.layers.Dense(
        1,
        use_bias=False,
        kernel_initializer=_normal(),
        dtype="float32",
        name="discriminator_logits",
    )(keras.layers.Flatten()(x))
    return keras.Model(seen, logits, name="discriminator")


def build(config: Config) -> gan.Adversaries:
    """Both networks, their weights created and initialised."""
    prior = gan.Prior("uniform", config.latent)
    return gan.Adversaries(generator(config), discriminator(config), prior=prior, name="dcgan")


def generator_count(config: Config) -> int:
    """How many trainable parameters the generator has."""
    *outer, deepest = config.widths
    project = (config.latent + 2) * FIRST * FIRST * deepest  # with scale and shift
    widths = [deepest, *reversed(outer), config.channels]
    return project + _convolutions(widths) + 2 * sum(outer)


def discriminator_count(config: Config) -> int:
    """How many trainable parameters the discriminator has."""
    widths = config.widths
    norms = 2 * sum(widths[1:])
    return _convolutions([config.channels, *widths]) + norms + FIRST * FIRST * widths[-1]


def _convolutions(widths: list[int]) -> int:
    return sum(KERNEL**2 * a * b for a, b in itertools.pairwise(widths))


def param_count(config: Config) -> int:
    """How many trainable parameters `build(config)` makes, without making them."""
    return generator_count(config) + discriminator_count(config)


def endpoints(model: gan.Adversaries, codec: Images) -> dict[str, Endpoint]:
    """Those of `gan`; batch normalisation's statistics are frozen in them."""
    return gan.endpoints(model, codec)
