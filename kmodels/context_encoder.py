"""Context encoder: a network that learns to see by making up what is missing from a picture.

A part of a picture is dropped and its place filled with one colour. An encoder makes a code of the
rest, a decoder makes the missing part of the code. Two losses: the squared error, whose best answer
is the blurred mean of all that could be there; and a discriminator, which is shown real parts and
made ones, and makes the decoder choose one answer.

What was new: whole regions are missing, not single pixels as in denoising autoencoders, so that
what is around has to be understood. Where the encoder ends in a map, a fully connected layer for
each channel lets all places know of all others at a fraction of the weights.

Three encoders. `strided` is that of the authors' program for filling holes: convolutions to a code
without places. `alexnet` is the paper's for features, with conv1 to conv5 under the names that
`alexnet` has; `resnet` does the same for small pictures, up to the last map of a `resnet`. So a
classifier begins with their weights by `--init-from`.

Departures. The program's holes are windows of one large pattern that happen to be 20 to 30 % of a
picture, the same for a whole batch; here each picture has its own, of 25 % exactly. The decoder for
AlexNet's features, 128 to 32 channels wide and resized from 161 x 161, is not part of the published
code. As in the program the biases of convolutions exist and are held at 0.

Shapes: B batch, S side of a picture, C its colours, P side of the part that is made, K code.
"""

import dataclasses
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from kmodels import alexnet, resnet
from kmodels.core import checks, halving, holes, inpainting
from kmodels.core.channelwise import ChannelwiseDense
from kmodels.core.codecs.images import Images
from kmodels.core.paper import Citation, Endpoint
from kmodels.core.rows import Draw

PAPER = Citation(
    title="Context Encoders: Feature Learning by Inpainting",
    authors="Pathak, Krähenbühl, Donahue, Darrell, Efros",
    year=2016,
    url="https://arxiv.org/abs/1604.07379",
)

SHARE = 0.25  # of a picture that is missing
UPWARDS = (128, 64, 64, 32)  # channels of the decoder for AlexNet's features


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shapes of the networks, and what is missing.

    Attributes:
        size: Side of a picture.
        channels: 3 for colour, 1 for grey.
        encoder: See above.
        widths: Channels of the encoder's convolutions, or of a ResNet's stages.
        depths: Blocks of each stage of a ResNet; of others none.
        bottleneck: K of the strided encoder; 0 where the encoder ends in a map.
        missing: "centre", the square of half the side in the middle, which alone is made; or
            "regions" anywhere, and the whole picture is made.
        overlap: Pixels at the border of the centre that are made although they are known.
        context: How often an error counts on pixels that are known; once on missing ones.
        cells: Of the noise that regions are made of, across a picture.
        fill: Colour of holes, 0 to 255 a channel: the mean of the data.
        adversarial: Share of the discriminator in the loss, in [0, 1); at 0 there is none.
        statistics: Over what batches are normalised: "replica", or "all" replicas together.
    """

    size: int = 128
    channels: int = 3
    encoder: Literal["strided", "alexnet", "resnet"] = "strided"
    widths: tuple[int, ...] = (64, 64, 128, 256, 512)
    depths: tuple[int, ...] = ()
    bottleneck: int = 4000
    missing: Literal["centre", "regions"] = "centre"
    overlap: int = 4
    context: float = 10.0
    cells: int = 8
    fill: tuple[float, ...] = (117.0, 104.0, 123.0)
    adversarial: float = 0.001
    statistics: Literal["replica", "all"] = "replica"

    def __post_init__(self) -> None:
        checks.at_least_one(self, "cells")
        checks.channels(self)
        checks.choices(self, "encoder", "missing", "statistics")
        checks.rates(self, "adversarial")
        if min(self.widths, default=0) < 1:
            raise ValueError(f"config.widths is {self.widths}; it must hold numbers of at least 1.")
        if not self.context >= 0:
            raise ValueError(f"config.context is {self.context}; it must be at least 0.")
        if len(self.fill) != self.channels or not all(0 <= n <= 255 for n in self.fill):
            raise ValueError(
                f"config.fill is {self.fill}; it must hold {self.channels} number(s) from 0 to 255."
            )
        _check_hole(self)
        if self.encoder == "strided":
            _check_strided(self)
        else:
            _check_map(self)

    @property
    def part(self) -> int:
        """P, the side of what is made."""
        return self.size // 2 if self.missing == "centre" else self.size

    @property
    def upwards(self) -> tuple[int, ...]:
        """Channels of the decoder's maps, the smallest map first, without the picture."""
        if self.encoder == "alexnet":
            return UPWARDS
        first = 0 if self.missing == "regions" and self.encoder == "strided" else 1
        last = len(self.widths) - (self.encoder == "resnet")
        return self.widths[first:last][::-1]

    @property
    def judged(self) -> tuple[int, ...]:
        """Channels of the discriminator's maps, the largest map first."""
        return self.upwards[::-1] if self.adversarial else ()


def _check_hole(config: Config) -> None:
    """Raises ValueError unless something is missing and as much of it as is made."""
    most = (config.size // 2 - 1) // 2 if config.missing == "centre" else 0
    if not 0 <= config.overlap <= most:
        raise ValueError(
            f"config.overlap is {config.overlap}; with {config.missing!r} missing from pictures of "
            f"{config.size} it must lie in [0, {most}]."
        )


def _check_strided(config: Config) -> None:
    """Raises ValueError unless convolutions lead to 4 x 4 and on to a code."""
    checks.at_least_one(config, "bottleneck")
    if config.size < 4 * halving.FIRST or config.size.bit_count() != 1:
        raise ValueError(f"config.size is {config.size}; it must be 16, 32, 64 and so on.")
    halvings = (config.size // halving.FIRST).bit_length() - 1
    if len(config.widths) != halvings or config.depths:
        raise ValueError(
            f"config.widths is {config.widths} and config.depths {config.depths}; pictures of "
            f"{config.size} are halved {halvings} times by a strided encoder, which has a width "
            "for each and no depths."
        )


def _check_map(config: Config) -> None:
    """Raises ValueError unless an encoder that ends in a map is used for features."""
    allowed = {"missing": "regions", "adversarial": 0, "bottleneck": 0}
    for name, value in allowed.items():
        if getattr(config, name) != value:
            raise ValueError(
                f"config.{name} is {getattr(config, name)!r}; it must be {value!r} with encoder "
                f"{config.encoder!r}, which is for features."
            )
    if config.encoder == "alexnet":
        alexnet_of(config)  # checks the rest
        return
    resnet_of(config)
    halvings = len(config.widths) - 1
    if not halvings or config.size % 2**halvings:
        raise ValueError(
            f"config.size {config.size} cannot be halved by {halvings + 1} stages of a ResNet; "
            "there must be at least 2, and the size a multiple of 2 for each after the first."
        )


def alexnet_of(config: Config) -> alexnet.Config:
    """The AlexNet whose convolutions are the encoder; its linear layers are made tiny."""
    return alexnet.Config(
        classes=1,
        size=config.size,
        channels=config.channels,
        widths=config.widths,
        hidden=(1, 1),
        bias=0.1,  # as in Caffe; the paper's 1 learns nothing for long
    )


def resnet_of(config: Config) -> resnet.Config:
    """The ResNet whose stages are the encoder, as `simclr` has them."""
    return resnet.Config(
        classes=1,
        size=config.size,
        channels=config.channels,
        stem="cifar",
        widths=config.widths,
        depths=config.depths,
        statistics=config.statistics,
        zero_gamma=True,
    )


_FEATURES = Config(
    encoder="resnet",
    widths=(16, 32, 64),
    bottleneck=0,
    missing="regions",
    overlap=0,
    context=0.0,
    adversarial=0.0,
    size=32,
    depths=(3, 3, 3),
    cells=4,
    fill=(125.0, 123.0, 114.0),
)
PRESETS = {
    "tiny": Config(
        size=16, channels=1, widths=(4, 8), bottleneck=8, overlap=1, fill=(78.0,),
        statistics="all",
    ),
    "digits": Config(
        size=16, channels=1, widths=(32, 64), bottleneck=128, overlap=1, fill=(78.0,),
    ),
    "digits-features": dataclasses.replace(
        _FEATURES, size=8, channels=1, depths=(1, 1, 1), fill=(78.0,)
    ),
    # The encoder is a ResNet of 20 layers without its classifier.
    "cifar-features": _FEATURES,
    # The authors' program as its README runs it, and with the code that it has if none is given.
    "centre-128": Config(),
    "centre-128-100": Config(bottleneck=100),
    "regions-128": Config(missing="regions", overlap=0, context=1.0),
    "regions-64": Config(
        size=64, widths=(64, 128, 256, 512), missing="regions", overlap=0, context=1.0, cells=4,
    ),
    # Section 4.2: reconstruction alone, equation 1.
    "alexnet-227": Config(
        size=227, encoder="alexnet", widths=(96, 256, 384, 384, 256), bottleneck=0,
        missing="regions", overlap=0, context=0.0, adversarial=0.0,
    ),
}  # fmt: skip


def encoder(config: Config) -> keras.Model:
    """float32 pictures [B, S, S, C] from -1 to 1 -> codes [B, 1, 1, K] or a map."""
    if config.encoder == "alexnet":
        whole = alexnet.build(alexnet_of(config))
        return keras.Model(whole.input, whole.get_layer("pool_5").output, name="encoder")
    if config.encoder == "resnet":
        whole = resnet.build(resnet_of(config))
        last = f"stage_{len(config.depths) - 1}_block_{config.depths[-1] - 1}"
        return keras.Model(whole.input, whole.get_layer(last).output, name="encoder")
    pictures = keras.Input((config.size, config.size, config.channels), name="image")
    x = halving.halved(pictures, config, config.widths, name="encoder")
    return keras.Model(pictures, halving.ended(x, config.bottleneck, name="code"), name="encoder")


def _decoded(x: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    """Codes or a map to the part [B, P, P, C], before its bend."""
    if config.encoder == "strided":
        x = halving.norm(config, "code_norm")(x)
        x = keras.layers.LeakyReLU(negative_slope=halving.SLOPE, name="code_bend")(x)
        return halving.doubled(x, config, config.upwards, name="decoder", biases=True)
    x = ChannelwiseDense(name="channelwise")(x)
    plain = config.encoder == "alexnet"  # which has no normalisation, hence biases
    x = keras.layers.Conv2D(
        config.widths[-1], 1, use_bias=plain, kernel_initializer="he_normal", name="mixed"
    )(x)
    x = x if plain else halving.norm(config, "mixed_norm")(x)
    x = keras.layers.ReLU(name="mixed_bend")(x)
    if not plain:
        return halving.doubled(x, config, config.upwards, name="decoder", biases=False)
    x = halving.nearly_doubled(x, (*config.upwards, config.channels), name="decoder")
    return keras.layers.Resizing(config.size, config.size, name="resized")(x)


def generator(config: Config, encoder: keras.Model) -> keras.Model:
    """float32 pictures with holes [B, S, S, C] -> the part that is made [B, P, P, C], -1 to 1."""
    pictures = keras.Input((config.size, config.size, config.channels), name="holed")
    x = _decoded(encoder(pictures), config)
    made = keras.layers.Activation("tanh", dtype="float32", name="made")(x)
    return keras.Model(pictures, made, name="generator")


def discriminator(config: Config) -> keras.Model:
    """Parts [B, P, P, C] from -1 to 1 -> logits [B, 1] of being real."""
    parts = keras.Input((config.part, config.part, config.channels), name="part")
    x = halving.halved(parts, config, config.judged, name="discriminator")
    logits = halving.ended(x, 1, dtype="float32", name="discriminator_logits")
    return keras.Model(parts, keras.layers.Flatten()(logits), name="discriminator")


class ContextEncoder(keras.Model):
    """float32 pictures with holes [B, S, S, C], -1 to 1 -> the part that is made [B, P, P, C].

    Attributes:
        encoder: Pictures to codes [B, 1, 1, K] or maps; whole ones too.
        generator: The encoder and a decoder: this model's call.
        discriminator: Parts to logits; None where there is none.
        seeds: Of what training draws.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(name="context_encoder")
        self.config = config
        self.encoder = encoder(config)
        self.generator = generator(config, self.encoder)
        self.discriminator = discriminator(config) if config.adversarial else None
        self.seeds = keras.random.SeedGenerator(name="seeds")
        self.built = True  # all parts are

    def call(self, holed: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.generator(holed, training=training)

    @property
    def draws(self) -> dict[str, Draw]:
        """What decides which regions are missing; see `training.draws`."""
        if self.config.missing == "centre":
            return {}
        side = self.config.cells + holes.BEYOND
        return {"noise": Draw("uniform", (side, side)), "shift": Draw("uniform", (2,))}

    @property
    def centre(self) -> np.ndarray:
        """bool [S, S], True where the centre is missing."""
        return holes.centre(self.config.size, self.config.size // 2 - 2 * self.config.overlap)

    def missing(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """bool [B, S, S, 1], True where a pixel of the batch's pictures is missing."""
        image = batch["image"]
        if self.config.missing == "centre":
            mask = tf.broadcast_to(tf.constant(self.centre), tf.shape(image)[:3])
            return tf.ensure_shape(mask, image.shape[:3])[..., None]
        noise, shift = batch["noise"], batch["shift"]
        return holes.regions(noise, shift, size=self.config.size, share=SHARE)[..., None]

    def holed(self, pictures: tf.Tensor, missing: tf.Tensor) -> tf.Tensor:
        """Pictures as the encoder is shown them, the mean colour where they are missing."""
        return tf.where(missing, tf.constant(self.config.fill) / 127.5 - 1, pictures)

    def part(self, pictures: tf.Tensor) -> tf.Tensor:
        """Of pictures or masks [B, S, S, any] what the generator makes, [B, P, P, any]."""
        first = (self.config.size - self.config.part) // 2
        past = first + self.config.part
        return pictures[:, first:past, first:past]

    def filled(self, pictures: tf.Tensor, missing: tf.Tensor) -> tf.Tensor:
        """Pictures with what is missing made, and nothing else changed."""
        made = tf.cast(self(self.holed(pictures, missing)), pictures.dtype)
        around = (self.config.size - self.config.part) // 2
        whole = tf.pad(made, [[0, 0], [around, around], [around, around], [0, 0]])
        return tf.where(missing, whole, pictures)


def build(config: Config) -> ContextEncoder:
    """The networks, their weights created and initialised."""
    return ContextEncoder(config)


def encoder_count(config: Config) -> int:
    """How many trainable parameters the encoder has."""
    if config.encoder == "alexnet":
        whole = alexnet_of(config)
        linear = whole.widths[-1] * whole.map_side**2 + 1 + 2 + 2
        return alexnet.param_count(whole) - linear
    if config.encoder == "resnet":
        return resnet.param_count(resnet_of(config)) - config.widths[-1] - 1
    convolutions = halving.count(config.channels, *config.widths, config.bottleneck)
    return convolutions + 2 * sum(config.widths[1:])


def generator_count(config: Config) -> int:
    """How many trainable parameters the encoder and the decoder have."""
    upwards, count = config.upwards, encoder_count(config)
    if config.encoder == "strided":
        code = config.bottleneck
        decoder = halving.count(code, *upwards, config.channels)
        return count + 2 * code + decoder + 2 * sum(upwards)
    width = config.widths[-1]
    if config.encoder == "resnet":
        count += width * (config.size >> (len(config.widths) - 1)) ** 4 + width * (width + 2)
        decoder = halving.count(width, *upwards, config.channels, biases=False)
        return count + decoder + 2 * sum(upwards)
    count += width * alexnet_of(config).map_side ** 4 + width * (width + 1)
    return count + halving.count(width, *upwards, config.channels, side=halving.WIDER)


def discriminator_count(config: Config) -> int:
    """How many trainable parameters the discriminator has; 0 where there is none."""
    if not config.adversarial:
        return 0
    widths = config.judged
    return halving.count(config.channels, *widths, 1) + 2 * sum(widths[1:])


def param_count(config: Config) -> int:
    """How many trainable parameters `build(config)` makes, without making them."""
    return generator_count(config) + discriminator_count(config)


def endpoints(model: ContextEncoder, codec: Images) -> dict[str, Endpoint]:
    """`inpaint` (a picture and what is missing to the whole picture) and `embed` (to a vector).

    Where a caller gives no mask the centre is missing. Batch normalisation's statistics are frozen.
    """
    return inpainting.endpoints(model, codec, any_shape=model.config.missing == "regions")
