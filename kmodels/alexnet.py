"""AlexNet: the deep convolutional network that won ImageNet in 2012.

Five convolutions, three pools, three linear layers. Some convolutions see one half of the channels
each, for the network was spread over two graphics cards that met in the third convolution only.

What was new: rectified linear units instead of tanh, which train several times faster; training
on two graphics cards; dropout; pools that overlap; a local normalisation of responses (which later
networks dropped); pictures changed in training by crops, mirrors and noise along the colours' own
axes.

Departures. None in `grouped`. The published program differs from the paper in details; here the
paper is followed, but for two things it leaves open: pictures of 224 become maps of 55 by three
rows and columns of zeros on the right and below, and the response normalisation divides alpha by
the number of channels it sums, as the program does (`lrn="summed"` reads the paper literally).
`ungrouped` has whole convolutions everywhere.

Shapes: B batch, S side, K classes.
"""

import dataclasses
from typing import Literal

import keras

from kmodels.core import checks, classifying
from kmodels.core.codecs.images import Images
from kmodels.core.normalisation import LocalResponseNormalization
from kmodels.core.paper import Citation, Endpoint

PAPER = Citation(
    title="ImageNet Classification with Deep Convolutional Neural Networks",
    authors="Krizhevsky, Sutskever, Hinton",
    year=2012,
    url="https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks",
)
SIDES = (5, 3, 3, 3)  # of the kernels after the first
GROUPED = (1, 3, 4)  # convolutions that see half the channels
POOLED = (0, 1, 4)  # convolutions with a pool behind them
ONES = (1, 3, 4)  # convolutions whose biases do not begin at 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one network.

    Attributes:
        classes: None takes the codec's when a run is resolved.
        size: Side of the pictures; the linear layers fix it.
        channels: 3 for colour, 1 for grey.
        first: Side and stride of the first kernels.
        widths: Channels of the five convolutions.
        hidden: Units of the two linear layers.
        groups: Into how many parts the second, fourth and fifth convolution are cut.
        lrn: Whether alpha is divided by the channels summed ("averaged"), not ("summed"), or
            nothing is normalised ("none").
        overlap: Whether pools of 3 have stride 2; else pools of 2.
        activation: "relu", or the "tanh" of figure 1.
        dropout: Rate in [0, 1) on both hidden linear layers.
        stddev: Of the initial weights.
        bias: Initial, of the second, fourth and fifth convolution and the hidden linear layers.
            Small networks learn nothing for long with the paper's 1; 0.1 is Caffe's.
    """

    classes: int | None = 1000
    size: int = 224
    channels: int = 3
    first: tuple[int, int] = (11, 4)
    widths: tuple[int, ...] = (96, 256, 384, 384, 256)
    hidden: tuple[int, ...] = (4096, 4096)
    groups: int = 2
    lrn: Literal["averaged", "summed", "none"] = "averaged"
    overlap: bool = True
    activation: Literal["relu", "tanh"] = "relu"
    dropout: float = 0.5
    stddev: float = 0.01
    bias: float = 1.0

    def __post_init__(self) -> None:
        if len(self.widths) != 5 or len(self.hidden) != 2 or min(*self.widths, *self.hidden) < 1:
            raise ValueError(
                f"config.widths {self.widths} must hold five numbers and config.hidden "
                f"{self.hidden} two, of at least 1."
            )
        checks.channels(self)
        odd = [w for i in GROUPED for w in (self.widths[i - 1], self.widths[i]) if w % self.groups]
        if self.groups < 1 or odd:
            raise ValueError(
                f"config.groups is {self.groups}; config.widths {self.widths} must divide by it."
            )
        checks.rates(self, "dropout")
        checks.choices(self, "lrn", "activation")
        if self.map_side < 1:
            raise ValueError(
                f"config.size is {self.size}; nothing is left of it after three pools."
            )

    @property
    def map_side(self) -> int:
        """Side of the last pooled map."""
        kernel, stride = self.first
        side = 1 + -(-(self.size - kernel) // stride)
        for _ in POOLED:
            side = (side - 3) // 2 + 1 if self.overlap else side // 2
        return side


def _small(
    *, classes: int | None, widths: tuple[int, ...], hidden: tuple[int, ...], dropout: float
) -> Config:
    """For grey pictures made 24 places wide, so that three pools leave something."""
    return Config(
        classes=classes,
        size=24,
        channels=1,
        first=(3, 1),
        widths=widths,
        hidden=hidden,
        dropout=dropout,
        stddev=0.15,
        bias=0.1,
    )


PRESETS = {
    "tiny": _small(classes=None, widths=(8, 8, 8, 8, 8), hidden=(16, 16), dropout=0.1),
    "digits": _small(classes=10, widths=(16, 32, 48, 48, 32), hidden=(256, 256), dropout=0.5),
    # Section 3.5, and the same without the cut between the two cards.
    "grouped": Config(),
    "ungrouped": Config(groups=1),
}


def _groups(config: Config, i: int) -> int:
    return config.groups if i in GROUPED else 1


def build(config: Config) -> keras.Model:
    """float32 pictures [B, S, S, C] -> logits [B, K]."""
    classes = classifying.check_classes(config)
    normal = keras.initializers.RandomNormal(stddev=config.stddev)
    begun = keras.initializers.Constant(config.bias)
    pictures = keras.Input((config.size, config.size, config.channels), name="image")
    kernel, stride = config.first
    lacks = -(config.size - kernel) % stride
    x = keras.layers.ZeroPadding2D(((0, lacks), (0, lacks)), name="pad")(pictures)
    for i, width in enumerate(config.widths):
        x = keras.layers.Conv2D(
            width,
            SIDES[i - 1] if i else kernel,
            strides=1 if i else stride,
            padding="same" if i else "valid",
            groups=_groups(config, i),
            activation=config.activation,
            kernel_initializer=normal,
            bias_initializer=begun if i in ONES else "zeros",
            name=f"conv_{i + 1}",
        )(x)
        if i < 2 and config.lrn != "none":
            averaged = config.lrn == "averaged"
            x = LocalResponseNormalization(averaged=averaged, name=f"lrn_{i + 1}")(x)
        if i in POOLED:
            side = 3 if config.overlap else 2
            x = keras.layers.MaxPooling2D(side, 2, name=f"pool_{i + 1}")(x)
    x = keras.layers.Flatten(name="row")(x)
    for i, units in enumerate(config.hidden):
        x = keras.layers.Dense(
            units,
            activation=config.activation,
            kernel_initializer=normal,
            bias_initializer=begun,
            name=f"fc_{i + 6}",
        )(x)
        x = keras.layers.Dropout(config.dropout, name=f"dropout_{i + 6}")(x)
    logits = keras.layers.Dense(classes, kernel_initializer=normal, dtype="float32", name="logits")(
        x
    )
    return keras.Model(pictures, logits, name="alexnet")


def param_count(config: Config) -> int:
    """How many parameters `build(config)` makes, without making them."""
    count, inside = 0, config.channels
    for i, width in enumerate(config.widths):
        side = SIDES[i - 1] if i else config.first[0]
        count += (side**2 * inside // _groups(config, i) + 1) * width
        inside = width
    units = inside * config.map_side**2
    for more in (*config.hidden, classifying.check_classes(config)):
        count += (units + 1) * more
        units = more
    return count


def endpoints(model: keras.Model, codec: Images) -> dict[str, Endpoint]:
    """`classify`, `predict_images`, `embed` (fc7) and `features` (each pool, fc6, fc7)."""
    stages = {f"pool_{i + 1}": f"pool_{i + 1}" for i in POOLED} | {"fc_6": "fc_6", "fc_7": "fc_7"}
    return classifying.endpoints(model, codec, embedding="fc_7", stages=stages)
