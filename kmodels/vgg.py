"""VGG: nothing but small convolutions, and many of them.

Five stages of 3x3 convolutions, each ended by a pool of 2, then three linear layers. Two 3x3 see as
far as one 5x5, with fewer weights and one bend more.

What was new: depth alone, with everything else kept plain, takes the error down from 11 to 19
layers; and that the linear layers can be run as convolutions over a larger picture.

Departures. Weights begin as Glorot and Bengio have them, which the paper names as the way that
needs no shallower network to begin from; `initializer="normal"` is what it used for its shallowest.
The `-bn` presets are later: batch normalisation between each convolution and its bend.

Shapes: B batch, S side, K classes.
"""

import dataclasses
from typing import Literal

import keras
from keras import ops

from kmodels.core import checks, classifying
from kmodels.core.codecs.images import Images
from kmodels.core.normalisation import LocalResponseNormalization, batch_norm
from kmodels.core.paper import Citation, Endpoint

PAPER = Citation(
    title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
    authors="Simonyan, Zisserman",
    year=2014,
    url="https://arxiv.org/abs/1409.1556",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one network.

    Attributes:
        classes: None takes the codec's when a run is resolved.
        size: Side of the pictures; the linear layers fix it.
        channels: 3 for colour, 1 for grey.
        depths: Convolutions of each stage.
        widths: Channels of each stage.
        narrow: Whether the third convolution of a stage is 1x1 (configuration C).
        lrn: Whether the first convolution's responses are normalised (A-LRN).
        hidden: Units of the two linear layers.
        batch_norm: Whether a convolution is normalised before its bend; its bias stays.
        statistics: Over what it is normalised: "replica", or "all" replicas together.
        dropout: Rate in [0, 1) on both hidden linear layers.
        initializer: "glorot", or "normal" with the paper's variance of 0.01.
    """

    classes: int | None = 1000
    size: int = 224
    channels: int = 3
    depths: tuple[int, ...] = (2, 2, 3, 3, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    narrow: bool = False
    lrn: bool = False
    hidden: tuple[int, ...] = (4096, 4096)
    batch_norm: bool = False
    statistics: Literal["replica", "all"] = "replica"
    dropout: float = 0.5
    initializer: Literal["glorot", "normal"] = "glorot"

    def __post_init__(self) -> None:
        if (
            len(self.widths) != len(self.depths)
            or min(*self.widths, *self.depths, *self.hidden) < 1
        ):
            raise ValueError(
                f"config.widths {self.widths} and config.depths {self.depths} must hold as many "
                f"numbers each, and these and config.hidden {self.hidden} be at least 1."
            )
        checks.channels(self)
        checks.rates(self, "dropout")
        checks.choices(self, "statistics", "initializer")
        if self.size >> len(self.depths) < 1:
            raise ValueError(
                f"config.size is {self.size}; nothing is left of it after {len(self.depths)} pools."
            )


A, B, D, E = (1, 1, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)
PRESETS = {
    "tiny": Config(
        classes=None, size=8, channels=1, depths=(1, 1), widths=(4, 8), hidden=(16, 16), dropout=0.1
    ),
    "digits": Config(
        classes=10, size=8, channels=1, depths=(2, 2, 2), widths=(16, 32, 64), hidden=(128, 128)
    ),
    # Table 1.
    "vgg-11": Config(depths=A),
    "vgg-11-lrn": Config(depths=A, lrn=True),
    "vgg-13": Config(depths=B),
    "vgg-16-c": Config(depths=D, narrow=True),
    "vgg-16": Config(depths=D),
    "vgg-19": Config(depths=E),
    "vgg-11-bn": Config(depths=A, batch_norm=True),
    "vgg-13-bn": Config(depths=B, batch_norm=True),
    "vgg-16-bn": Config(depths=D, batch_norm=True),
    "vgg-19-bn": Config(depths=E, batch_norm=True),
}


def _initializer(config: Config) -> keras.initializers.Initializer:
    if config.initializer == "normal":
        return keras.initializers.RandomNormal(stddev=0.1)  # a variance of 0.01, section 3.1
    return keras.initializers.GlorotUniform()


def _side(config: Config, stage: int, i: int) -> int:
    return 1 if config.narrow and stage >= 2 and i == 2 else 3


def build(config: Config) -> keras.Model:
    """float32 pictures [B, S, S, C] -> logits [B, K]."""
    classes = classifying.check_classes(config)
    pictures = x = keras.Input((config.size, config.size, config.channels), name="image")
    for stage, (depth, width) in enumerate(zip(config.depths, config.widths, strict=True)):
        for i in range(depth):
            name = f"stage_{stage + 1}_conv_{i + 1}"
            x = keras.layers.Conv2D(
                width,
                _side(config, stage, i),
                padding="same",
                kernel_initializer=_initializer(config),
                name=name,
            )(x)
            if config.batch_norm:
                x = batch_norm(config, f"{name}_norm")(x)
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
            if config.lrn and stage == i == 0:
                x = LocalResponseNormalization(name="lrn")(x)
        x = keras.layers.MaxPooling2D(2, name=f"stage_{stage + 1}_pool")(x)
    x = keras.layers.Flatten(name="row")(x)
    for i, units in enumerate(config.hidden):
        x = keras.layers.Dense(
            units,
            activation="relu",
            kernel_initializer=_initializer(config),
            name=f"fc_{i + 1}",
        )(x)
        x = keras.layers.Dropout(config.dropout, name=f"dropout_{i + 1}")(x)
    logits = keras.layers.Dense(
        classes, kernel_initializer=_initializer(config), dtype="float32", name="logits"
    )(x)
    return keras.Model(pictures, logits, name="vgg")


def dense(model: keras.Model, pictures: keras.KerasTensor) -> keras.KerasTensor:
    """Class scores [B, K] of whole pictures [B, H, W, C], H and W at least the model's size.

    The linear layers are run as convolutions over the last map, the first with the side that the
    map of a picture of the model's own size has, and the map of scores is averaged (section 3.2).
    The weights are the model's own; dropout is off.
    """
    x, side = pictures, model.get_layer("row").input.shape[1]
    for layer in model.layers[1:]:
        if isinstance(layer, keras.layers.Dense):
            kernel = ops.reshape(layer.kernel, (side, side, -1, layer.units))
            kernel = ops.cast(kernel, layer.compute_dtype)
            x = ops.conv(ops.cast(x, layer.compute_dtype), kernel, padding="valid")
            x, side = layer.activation(x + ops.cast(layer.bias, x.dtype)), 1
        elif not isinstance(layer, keras.layers.Flatten | keras.layers.Dropout):
            x = layer(x, training=False)
    return ops.mean(x, axis=(1, 2))


def param_count(config: Config) -> int:
    """How many trainable parameters `build(config)` makes, without making them."""
    count, inside, side = 0, config.channels, config.size
    beside = 3 if config.batch_norm else 1  # a bias; scale and shift
    for stage, (depth, width) in enumerate(zip(config.depths, config.widths, strict=True)):
        for i in range(depth):
            count += inside * width * _side(config, stage, i) ** 2 + beside * width
            inside = width
        side //= 2
    units = inside * side**2
    for more in (*config.hidden, classifying.check_classes(config)):
        count += (units + 1) * more
        units = more
    return count


def endpoints(model: keras.Model, codec: Images) -> dict[str, Endpoint]:
    """`classify`, `predict_images`, `embed` (the last hidden layer), `features` (each stage)."""
    names = [layer.name for layer in model.layers]
    stages = {n.removesuffix("_pool"): n for n in names if n.endswith("_pool")}
    last = max(n for n in names if n.startswith("fc_"))
    return classifying.endpoints(model, codec, embedding=last, stages=stages)
