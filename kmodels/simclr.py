"""SimCLR: pictures know their own kind by looking at themselves twice, without a label.

Each picture is cut and coloured twice at random. A ResNet makes of each view a vector h, a small
head of it a vector z. Among the z of a whole batch that of a view's twin shall be the nearest:
nothing but what both views have in common can say which it is. Afterwards the head is thrown away
and h serves any task; a linear classifier on it nearly reaches a network that saw all labels.

What was new: nothing else is needed, no memory of earlier batches and no special architecture;
strong changes of colour, a head between h and the loss, and very large batches.

Departures. None. The published code has a head of three layers by default, which is that of
SimCLR v2; this is the paper's of two.

Shapes: B pictures, V views, H and W side, C channels, F features, D projection.
"""

import dataclasses
from typing import Literal

import keras
import tensorflow as tf

from kmodels import resnet
from kmodels.core import checks
from kmodels.core.codecs.images import Images
from kmodels.core.normalisation import BatchNormalization, batch_norm
from kmodels.core.paper import Citation, Endpoint

PAPER = Citation(
    title="A Simple Framework for Contrastive Learning of Visual Representations",
    authors="Chen, Kornblith, Norouzi, Hinton",
    year=2020,
    url="https://arxiv.org/abs/2002.05709",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of an encoder and its head.

    Attributes:
        size: Side of the pictures it is trained on; others work too.
        channels: 3 for colour, 1 for grey.
        stem: Of the ResNet: "imagenet" halves the sides twice, "cifar" leaves them.
        widths: Channels of each stage.
        depths: Blocks of each stage.
        block: "basic" or "bottleneck", as `resnet` has them.
        projection: D, the width of z.
        temperature: What similarities are divided by, above 0.
        statistics: Batches are normalised over all replicas: a replica's own statistics would
            tell its pictures from those of others (section 2.2).
    """

    size: int = 224
    channels: int = 3
    stem: Literal["imagenet", "cifar"] = "imagenet"
    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    block: Literal["basic", "bottleneck"] = "bottleneck"
    projection: int = 128
    temperature: float = 0.1
    statistics: Literal["all"] = "all"

    def __post_init__(self) -> None:
        encoder(self)  # checks what both have
        checks.at_least_one(self, "projection")
        checks.choices(self, "statistics")
        if not self.temperature > 0:
            raise ValueError(f"config.temperature is {self.temperature}; it must be above 0.")

    @property
    def features(self) -> int:
        """F, the width of h."""
        return self.widths[-1] * (4 if self.block == "bottleneck" else 1)


def encoder(config: Config) -> resnet.Config:
    """The ResNet without its classifier: the stride in the 3x3, blocks that begin as identity."""
    return resnet.Config(
        classes=1,
        size=config.size,
        channels=config.channels,
        stem=config.stem,
        widths=config.widths,
        depths=config.depths,
        block=config.block,
        stride_in="3x3",
        statistics=config.statistics,
        zero_gamma=True,
    )


def _wider(times: int) -> Config:
    return Config(widths=tuple(times * width for width in (64, 128, 256, 512)))


PRESETS = {
    "tiny": Config(
        size=8,
        channels=1,
        stem="cifar",
        widths=(4, 8),
        depths=(1, 1),
        block="basic",
        projection=4,
        temperature=0.5,
    ),
    "digits": Config(
        size=8,
        channels=1,
        stem="cifar",
        widths=(16, 32, 64),
        depths=(1, 1, 1),
        block="basic",
        projection=32,
        temperature=0.5,
    ),
    # Section B.9: CIFAR-10 with a small stem; a ResNet-18 as the published code's smallest.
    "cifar-18": Config(size=32, stem="cifar", depths=(2, 2, 2, 2), block="basic", temperature=0.5),
    "cifar-50": Config(size=32, stem="cifar", temperature=0.5),
    # Table 1 and section 2.1: ResNet-50, and two and four times as wide.
    "resnet-50": _wider(1),
    "resnet-50-2x": _wider(2),
    "resnet-50-4x": _wider(4),
}


class SimCLR(keras.Model):
    """float32 pictures [..., H, W, C] -> z, float32 [..., D], not normalised.

    `encoder` gives h [B, F] of pictures [B, H, W, C], `head` z of h.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(name="simclr")
        self.temperature = config.temperature
        whole = resnet.build(encoder(config))
        self.encoder = keras.Model(whole.input, whole.get_layer("mean").output, name="encoder")
        self.head = _head(config)

    def call(self, pictures: tf.Tensor, training: bool = False) -> tf.Tensor:
        leading = tf.shape(pictures)[:-3]
        rows = tf.reshape(pictures, tf.concat([[-1], tf.shape(pictures)[-3:]], 0))
        rows = tf.ensure_shape(rows, [None, *pictures.shape[-3:]])
        z = self.head(self.encoder(rows, training=training), training=training)
        shaped = tf.reshape(z, tf.concat([leading, [z.shape[-1]]], 0))
        return tf.ensure_shape(shaped, [*pictures.shape[:-3], z.shape[-1]])


def _head(config: Config) -> keras.Model:
    """h [B, F] -> z [B, D]: two layers, each normalised, the second without a shift."""
    h = keras.Input((config.features,), name="h")
    x = keras.layers.Dense(config.features, use_bias=False, name="hidden")(h)
    x = keras.layers.ReLU(name="relu")(batch_norm(config, "hidden_norm")(x))
    z = keras.layers.Dense(config.projection, use_bias=False, name="projection")(x)
    z = BatchNormalization(
        momentum=0.9,
        epsilon=1e-5,
        center=False,
        synchronized=config.statistics == "all",
        dtype="float32",
        name="projection_norm",
    )(z)
    return keras.Model(h, z, name="head")


def build(config: Config) -> SimCLR:
    """The encoder and its head, their weights created and initialised."""
    model = SimCLR(config)
    model(tf.zeros((1, config.size, config.size, config.channels)))
    return model


def param_count(config: Config) -> int:
    """How many trainable parameters `build(config)` makes, without making them."""
    width, out = config.features, config.projection
    classifier = width + 1
    head = width * width + 2 * width + width * out + out
    return resnet.param_count(encoder(config)) - classifier + head


def endpoints(model: SimCLR, codec: Images) -> dict[str, Endpoint]:
    """`embed`: picture files to h, and to z of unit length."""

    def embed(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        h = model.encoder(codec.read(image_bytes), training=False)
        z = tf.math.l2_normalize(model.head(h, training=False), axis=-1)
        return {"embedding": tf.cast(h, tf.float32), "projection": z}

    endpoint = Endpoint(
        function=embed,
        inputs={"image_bytes": tf.TensorSpec([None], tf.string)},
        example={"image_bytes": list(codec.examples)},
    )
    return {"serving_default": endpoint, "embed": endpoint}
