"""ResNet: layers that learn what to add to their input, so that a hundred of them still train.

A stem, then stages of blocks, each stage at half the resolution and twice the width of the one
before; a block's output is its input plus what two or three convolutions make of it. The mean over
the last map goes to a linear classifier.

What was new: the addition. Without it ("plain") a deeper network has a higher *training* error
than a shallower one, though it could copy it and do nothing more; with it, deeper is better.

Departures. None in the presets. `stride_in="3x3"` puts the stride of a bottleneck where later
implementations have it (and their published weights); the paper has it in the first 1x1.

Shapes: B batch, H and W side, C channels, K classes.
"""

import dataclasses
from typing import Literal

import keras
from keras import ops

from kmodels.core import checks, classifying
from kmodels.core.codecs.images import Images
from kmodels.core.normalisation import batch_norm
from kmodels.core.paper import Citation, Endpoint

PAPER = Citation(
    title="Deep Residual Learning for Image Recognition",
    authors="He, Zhang, Ren, Sun",
    year=2015,
    url="https://arxiv.org/abs/1512.03385",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one network.

    Attributes:
        classes: None takes the codec's when a run is resolved.
        size: Side of the pictures it is trained on; others work too.
        channels: 3 for colour, 1 for grey.
        stem: "imagenet" is 7x7 with stride 2 and a pool, "cifar" 3x3 with stride 1.
        widths: Channels of each stage, of a bottleneck's 3x3.
        depths: Blocks of each stage.
        block: "basic" is two 3x3; "bottleneck" is 1x1, 3x3 and a 1x1 of four times the width.
        shortcut: What joins a block's input to its output where shapes differ: "projection" (the
            paper's option B), "zeros" (option A: every second place, new channels 0), or "none",
            which adds nothing anywhere: the plain twin.
        stride_in: Which convolution of a bottleneck has the stride.
        statistics: Over what batches are normalised: "replica", or "all" replicas together.
        zero_gamma: Whether each block begins as the identity (a later trick).
    """

    classes: int | None = 1000
    size: int = 224
    channels: int = 3
    stem: Literal["imagenet", "cifar"] = "imagenet"
    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (2, 2, 2, 2)
    block: Literal["basic", "bottleneck"] = "basic"
    shortcut: Literal["projection", "zeros", "none"] = "projection"
    stride_in: Literal["1x1", "3x3"] = "1x1"
    statistics: Literal["replica", "all"] = "replica"
    zero_gamma: bool = False

    def __post_init__(self) -> None:
        checks.at_least_one(self, "classes", "size")
        checks.channels(self)
        checks.choices(self, "stem", "block", "shortcut", "stride_in", "statistics")
        if len(self.widths) != len(self.depths) or min(*self.widths, *self.depths) < 1:
            raise ValueError(
                f"config.widths {self.widths} and config.depths {self.depths} must hold as many "
                "numbers each, of at least 1."
            )


def _cifar(depth: int, shortcut: Literal["zeros", "none"]) -> Config:
    """Section 4.2: 6n + 2 layers at 32 x 32, option A."""
    return Config(
        classes=10,
        size=32,
        stem="cifar",
        widths=(16, 32, 64),
        depths=((depth - 2) // 6,) * 3,
        shortcut=shortcut,
    )


BASIC_18, BASIC_34, DEEP_101, DEEP_152 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)
PRESETS = {
    "tiny": Config(
        classes=None,
        size=8,
        channels=1,
        stem="cifar",
        widths=(4, 8),
        depths=(1, 1),
        shortcut="zeros",
        statistics="all",
    ),
    "digits": Config(
        classes=10,
        size=8,
        channels=1,
        stem="cifar",
        widths=(16, 32, 64),
        depths=(1, 1, 1),
        shortcut="zeros",
    ),
    # Table 1.
    "resnet-18": Config(depths=BASIC_18),
    "resnet-34": Config(depths=BASIC_34),
    "resnet-50": Config(depths=BASIC_34, block="bottleneck"),
    "resnet-101": Config(depths=DEEP_101, block="bottleneck"),
    "resnet-152": Config(depths=DEEP_152, block="bottleneck"),
    "plain-18": Config(depths=BASIC_18, shortcut="none"),
    "plain-34": Config(depths=BASIC_34, shortcut="none"),
    # Table 6.
    **{f"cifar-{depth}": _cifar(depth, "zeros") for depth in (20, 32, 44, 56, 110)},
    **{f"plain-{depth}": _cifar(depth, "none") for depth in (20, 32, 44, 56, 110)},
}


def _convolution(
    x: keras.KerasTensor, width: int, *, side: int, stride: int = 1, name: str
) -> keras.KerasTensor:
    """Without bias, from He's normal initial weights; as many zeros on each side."""
    if stride > 1 and side > 1:  # where "same" would put one zero less in front
        x = keras.layers.ZeroPadding2D(side // 2, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        width,
        side,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal"),
        name=name,
    )(x)


def _relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.ReLU(name=name)(x)


class ZeroShortcut(keras.layers.Layer):
    """Option A: every `stride`-th place of [B, H, W, C], and zeros for the channels it lacks."""

    def __init__(self, width: int, stride: int, *, name: str) -> None:
        super().__init__(name=name)
        self.width, self.stride = width, stride

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        more = self.width - x.shape[-1]
        x = ops.average_pool(x, 1, self.stride)  # x[:, ::s, ::s], whose gradient is slow on CPUs
        return ops.pad(x, [[0, 0], [0, 0], [0, 0], [0, more]])


def _shortcut(
    x: keras.KerasTensor, config: Config, *, width: int, stride: int, name: str
) -> keras.KerasTensor:
    if x.shape[-1] == width and stride == 1:
        return x
    if config.shortcut == "zeros":
        return ZeroShortcut(width, stride, name=f"{name}_shortcut")(x)
    x = _convolution(x, width, side=1, stride=stride, name=f"{name}_projection")
    return batch_norm(config, f"{name}_projection_norm")(x)


def _block(
    x: keras.KerasTensor, config: Config, *, width: int, stride: int, name: str
) -> keras.KerasTensor:
    """Figure 2 and figure 5: the convolutions, the sum, then the bend."""
    first, second = (stride, 1) if config.stride_in == "1x1" else (1, stride)
    layers = (
        [(width, 3, stride), (width, 3, 1)]
        if config.block == "basic"
        else [(width, 1, first), (width, 3, second), (4 * width, 1, 1)]
    )
    y = x
    for i, (channels, side, step) in enumerate(layers):
        last = i == len(layers) - 1
        y = _relu(y, f"{name}_relu_{i}") if i else y
        y = _convolution(y, channels, side=side, stride=step, name=f"{name}_conv_{i}")
        gamma = "zeros" if last and config.zero_gamma else "ones"
        y = batch_norm(config, f"{name}_norm_{i}", gamma=gamma)(y)
    if config.shortcut != "none":
        beside = _shortcut(x, config, width=layers[-1][0], stride=stride, name=name)
        y = keras.layers.Add(name=f"{name}_sum")([beside, y])
    return _relu(y, name)


def _stem(x: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    if config.stem == "cifar":
        x = _convolution(x, config.widths[0], side=3, name="stem")
        return _relu(batch_norm(config, "stem_norm")(x), "stem_relu")
    x = _convolution(x, config.widths[0], side=7, stride=2, name="stem")
    x = _relu(batch_norm(config, "stem_norm")(x), "stem_relu")
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_pad")(x)  # nothing is below 0 after a ReLU
    return keras.layers.MaxPooling2D(3, 2, name="stem_pool")(x)


def build(config: Config) -> keras.Model:
    """float32 pictures [B, H, W, C] -> logits [B, K]."""
    classes = classifying.check_classes(config)
    pictures = keras.Input((None, None, config.channels), name="image")
    x = _stem(pictures, config)
    for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
        for i in range(depth):
            stride = 2 if stage and not i else 1
            x = _block(x, config, width=width, stride=stride, name=f"stage_{stage}_block_{i}")
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    logits = keras.layers.Dense(
        classes,
        kernel_initializer=keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal"),
        dtype="float32",
        name="logits",
    )(x)
    return keras.Model(pictures, logits, name="resnet")


def dense(model: keras.Model, pictures: keras.KerasTensor) -> keras.KerasTensor:
    """Class scores [B, K] of whole pictures [B, H, W, C] of any size.

    Fully convolutional as it is (section 3.4): the mean before the linear layer averages scores.
    """
    return model(pictures, training=False)


def param_count(config: Config) -> int:
    """How many trainable parameters `build(config)` makes, without making them."""
    classes = classifying.check_classes(config)

    def layer(inside: int, outside: int, side: int) -> int:
        return inside * outside * side**2 + 2 * outside  # a kernel, then scale and shift

    at = config.widths[0]
    count = layer(config.channels, at, 7 if config.stem == "imagenet" else 3)
    for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
        out = width if config.block == "basic" else 4 * width
        for i in range(depth):
            if config.block == "basic":
                count += layer(at, width, 3) + layer(width, width, 3)
            else:
                count += layer(at, width, 1) + layer(width, width, 3) + layer(width, out, 1)
            changes = at != out or (stage > 0 and i == 0)
            count += layer(at, out, 1) if changes and config.shortcut == "projection" else 0
            at = out
    return count + (at + 1) * classes


def endpoints(model: keras.Model, codec: Images) -> dict[str, Endpoint]:
    """`classify`, `predict_images`, `embed` (the last mean) and `features` (each stage's map)."""
    blocks = [
        n for n in (layer.name for layer in model.layers) if n[-1:].isdigit() and "_block_" in n
    ]
    ends = {name.split("_block_")[0]: name for name in blocks if name.count("_") == 3}
    return classifying.endpoints(model, codec, embedding="mean", stages=ends)
