"""The autoencoder: a picture through a narrow code and back, so the code must hold what matters.

An encoder makes a picture a few numbers, a decoder makes of these the picture again, and both learn
from the difference alone: nobody says what the numbers shall mean. Without a bend in between, the
best that can be had is what principal component analysis finds; with several bent layers on each
side the same number of numbers holds several times as much.

What was new: that so deep a network can be trained at all. The paper began with a stack of
restricted Boltzmann machines, each taught alone, unfolded them and went down the gradient from
there. Two later ideas are here too: convolutions, and the denoising autoencoder (Vincent et al.,
2008), which is shown a picture with pixels missing and has to give the whole one.

Departures. Nothing is taught layer by layer: first weights of the right size (Glorot, Bengio 2010,
four times larger for logistic units) and Adam do without.

Shapes: B batch, S side of a picture, C channels, K numbers of a code.
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
    title="Reducing the Dimensionality of Data with Neural Networks",
    authors="Hinton, Salakhutdinov",
    year=2006,
    url="https://doi.org/10.1126/science.1127647",
)
KERNEL = 3  # side of a convolution


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one network.

    Attributes:
        size: Side of the pictures.
        channels: 3 for colour, 1 for grey.
        kind: What the layers are; a convolution halves the side, its mirror doubles it.
        hidden: Units of the encoder's layers, or channels; the decoder mirrors them.
        code: Numbers a picture becomes, which are not bent.
        activation: How hidden units bend.
        output: "logistic" pixels lie in (0, 1) and are learnt by cross-entropy, "linear" ones by
            squared error.
        noise: Share of the pixels that are missing from what the encoder is shown while the error
            is measured, in [0, 1).
    """

    size: int = 28
    channels: int = 1
    kind: Literal["dense", "convolutional"] = "dense"
    hidden: tuple[int, ...] = (1000, 500, 250)
    code: int = 30
    activation: Literal["sigmoid", "tanh", "relu"] = "sigmoid"
    output: Literal["logistic", "linear"] = "logistic"
    noise: float = 0.0

    def __post_init__(self) -> None:
        checks.at_least_one(self, "size", "code")
        checks.channels(self)
        checks.choices(self, "kind", "activation", "output")
        checks.rates(self, "noise")
        if min(self.hidden, default=1) < 1:
            raise ValueError(
                f"config.hidden is {self.hidden}; it must hold numbers of at least 1, or none."
            )
        if self.kind == "convolutional" and (not self.hidden or self.size % 2 ** len(self.hidden)):
            raise ValueError(
                f"config.size {self.size} cannot be halved by {len(self.hidden)} convolutions; "
                "there must be at least one, and the size a multiple of 2 for each."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a picture."""
        return self.size, self.size, self.channels

    @property
    def inner(self) -> tuple[int, int, int]:
        """Of what the last convolution gives."""
        side = self.size // 2 ** len(self.hidden)
        return side, side, self.hidden[-1]


PRESETS = {
    "tiny": Config(size=8, hidden=(16,), code=4, activation="tanh"),
    "digits": Config(size=8, hidden=(256, 128), code=16, activation="relu"),
    "convolutional": Config(
        size=8, kind="convolutional", hidden=(32, 64), code=16, activation="relu"
    ),
    "denoising": Config(size=8, hidden=(256, 128), code=32, activation="relu", noise=0.3),
    # No bend anywhere: principal component analysis, learnt.
    "linear": Config(size=8, hidden=(), code=8, output="linear"),
    # The paper's for MNIST: 784-1000-500-250-30.
    "mnist": Config(),
    "mnist-2d": Config(code=2),  # its figure 3 B
    "mnist-convolutional": Config(
        kind="convolutional", hidden=(32, 64), code=30, activation="relu"
    ),
    "mnist-denoising": Config(noise=0.3),
}


def _first(config: Config) -> keras.initializers.Initializer:
    """Weights that keep signals and gradients alive through a logistic stack, or another."""
    scale = 16.0 if config.activation == "sigmoid" else 2.0 if config.activation == "relu" else 1.0
    return keras.initializers.VarianceScaling(scale, mode="fan_avg", distribution="uniform")


def _dense(units: int, config: Config, name: str) -> keras.layers.Dense:
    return keras.layers.Dense(
        units, activation=config.activation, kernel_initializer=_first(config), name=name
    )


def encoder(config: Config) -> keras.Model:
    """float32 pictures [B, S, S, C] -> codes [B, K]."""
    x = pictures = keras.Input(config.shape, name="image")
    if config.kind == "convolutional":
        for i, channels in enumerate(config.hidden):
            x = keras.layers.Conv2D(
                channels,
                KERNEL,
                strides=2,
                padding="same",
                activation=config.activation,
                kernel_initializer=_first(config),
                name=f"down_{i}",
            )(x)
    x = keras.layers.Flatten(name="row")(x)
    if config.kind == "dense":
        for i, units in enumerate(config.hidden):
            x = _dense(units, config, f"layer_{i}")(x)
    code = keras.layers.Dense(config.code, dtype="float32", name="code")(x)
    return keras.Model(pictures, code, name="encoder")


def decoder(config: Config) -> keras.Model:
    """Codes [B, K] -> pixels [B, S, S, C], before the bend where they are logistic."""
    x = code = keras.Input((config.code,), name="code")
    if config.kind == "convolutional":
        x = _dense(math.prod(config.inner), config, "grid")(x)
        x = keras.layers.Reshape(config.inner, name="maps")(x)
        for i, channels in enumerate((*config.hidden[-2::-1], config.channels)):
            last = i == len(config.hidden) - 1
            x = keras.layers.Conv2DTranspose(
                channels,
                KERNEL,
                strides=2,
                padding="same",
                activation=None if last else config.activation,
                kernel_initializer="glorot_uniform" if last else _first(config),
                dtype="float32" if last else None,
                name="pixels" if last else f"up_{i}",
            )(x)
        return keras.Model(code, x, name="decoder")
    for i, units in enumerate(reversed(config.hidden)):
        x = _dense(units, config, f"layer_{i}")(x)
    x = keras.layers.Dense(math.prod(config.shape), dtype="float32", name="pixels")(x)
    return keras.Model(code, keras.layers.Reshape(config.shape, name="image")(x), name="decoder")


class Autoencoder(keras.Model):
    """float32 pictures [B, S, S, C] -> pixels [B, S, S, C], as `decoder` gives them."""

    def __init__(self, config: Config) -> None:
        super().__init__(name="autoencoder")
        self.config = config
        with keras.name_scope("encoder"):
            self.encoder = encoder(config)
        with keras.name_scope("decoder"):
            self.decoder = decoder(config)
        self.seeds = keras.random.SeedGenerator(name="seeds")  # of pixels that are missing
        self.built = True  # both parts are

    @property
    def draws(self) -> dict[str, rows.Draw]:
        """What decides which pixels are missing; see `training.draws`."""
        places = (self.config.size, self.config.size, 1)
        return {"chance": rows.Draw("uniform", places)} if self.config.noise else {}

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.decoder(self.encoder(image, training=training), training=training)

    def picture(self, pixels: tf.Tensor) -> tf.Tensor:
        """Pixels as `decoder` gives them -> a picture as the encoder takes it."""
        return tf.sigmoid(pixels) if self.config.output == "logistic" else pixels


def build(config: Config) -> Autoencoder:
    """The network, its weights created."""
    return Autoencoder(config)


def param_count(config: Config) -> int:
    """How many parameters `build(config)` makes, without making them."""
    if config.kind == "dense":
        sizes = [math.prod(config.shape), *config.hidden, config.code]
        return sum((a + 1) * b + (b + 1) * a for a, b in itertools.pairwise(sizes))
    area, flat = KERNEL**2, math.prod(config.inner)
    around = 2 * flat * config.code + config.code + flat
    pairs = itertools.pairwise((config.channels, *config.hidden))
    return around + sum(2 * area * a * b + a + b for a, b in pairs)


def endpoints(model: Autoencoder, codec: Images) -> dict[str, Endpoint]:
    """`encode`, `decode`, and `reconstruct`: both, with the squared error of each picture."""

    def encode(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"code": rows.together(model.encoder, codec.read(image_bytes))}

    def decode(code: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies(rows.check_finite("code", code)):
            pixels = rows.together(model.decoder, tf.identity(code))
        return drawing.answer(codec, model.picture(pixels))

    def reconstruct(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        seen = codec.read(image_bytes)
        made = model.picture(rows.together(model, seen))
        error = tf.reduce_sum((made - seen) ** 2, axis=(1, 2, 3))
        return {**drawing.answer(codec, made), "squared_error": error}

    by_bytes = {"image_bytes": tf.TensorSpec([None], tf.string)}
    example = {"image_bytes": list(codec.examples)}
    count = model.config.code
    both = Endpoint(function=reconstruct, inputs=by_bytes, example=example)
    return {
        "serving_default": both,
        "reconstruct": both,
        "encode": Endpoint(function=encode, inputs=by_bytes, example=example),
        "decode": Endpoint(
            function=decode,
            inputs={"code": tf.TensorSpec([None, count], tf.float32)},
            example={"code": [[0.0] * count, [1.0] * count]},
        ),
    }
