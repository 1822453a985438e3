"""GoogLeNet: convolutions of several sizes side by side, and a network wide and deep but small.

An inception block looks at its input in four ways at once, through 1x1, 3x3 and 5x5 convolutions
and a pool, and stacks what they find; 1x1 convolutions before the large ones keep them cheap. Nine
blocks, then the mean of each map and one linear layer. In training two small classifiers in the
middle of the network have a say in the loss, so that early layers hear of it.

What was new: a twelfth of AlexNet's parameters and a better answer.

Departures. None in `imagenet`; its 5x5 are 5x5 (a widespread port has 3x3 there). The paper does
not say how weights begin: Glorot and Bengio's way and biases of 0.2, as its best-known replication
has them, and the response normalisation is AlexNet's.

Shapes: B batch, S side, K classes.
"""

import dataclasses

import keras

from kmodels.core import checks, classifying
from kmodels.core.codecs.images import Images
from kmodels.core.normalisation import LocalResponseNormalization
from kmodels.core.paper import Citation, Endpoint

PAPER = Citation(
    title="Going Deeper with Convolutions",
    authors="Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich",
    year=2014,
    url="https://arxiv.org/abs/1409.4842",
)
AUXILIARY_WEIGHT = 0.3  # of each auxiliary classifier's loss (section 5)

# Table 1: 1x1; 1x1 then 3x3; 1x1 then 5x5; pool then 1x1.
BLOCKS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOLED = ("3b", "4e")  # blocks with a pool behind them
HEADS = {"4a": "aux_1", "4d": "aux_2"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one network.

    Attributes:
        classes: None takes the codec's when a run is resolved.
        size: Side of the pictures; the auxiliary classifiers fix it.
        channels: 3 for colour, 1 for grey.
        narrower: By how much all widths are divided.
        blocks: Which rows of table 1 there are; a pool or a head behind a block goes with it.
        stem: Whether the pictures are large: convolutions and pools that leave an eighth of the
            side to the first block. Else one 3x3 that leaves it whole.
        auxiliary: Whether there are auxiliary classifiers.
        dropout: Rate in [0, 1) before the last layer.
        auxiliary_dropout: The same in the auxiliary classifiers.
    """

    classes: int | None = 1000
    size: int = 224
    channels: int = 3
    narrower: int = 1
    blocks: tuple[str, ...] = tuple(BLOCKS)
    stem: bool = True
    auxiliary: bool = True
    dropout: float = 0.4
    auxiliary_dropout: float = 0.7

    def __post_init__(self) -> None:
        checks.at_least_one(self, "narrower")
        checks.channels(self)
        checks.rates(self, "dropout", "auxiliary_dropout")
        if not self.blocks or [b for b in BLOCKS if b in self.blocks] != list(self.blocks):
            raise ValueError(
                f"config.blocks is {', '.join(self.blocks) or 'empty'}; it must be some of "
                f"{', '.join(BLOCKS)}, in that order."
            )
        least, pools = (32, "five") if self.stem else (4, "two")
        if self.size < least:
            raise ValueError(
                f"config.size is {self.size}; it must be at least {least} for {pools} poolings."
            )

    def of(self, width: int) -> int:
        """A width of the table in this network."""
        return max(1, width // self.narrower)

    @property
    def middle(self) -> int:
        """Side of the maps that the auxiliary classifiers look at."""
        side = self.size
        for _ in range(4 if self.stem else 1):
            side = -(-side // 2)
        return side


PRESETS = {
    "tiny": Config(
        classes=None,
        size=8,
        channels=1,
        narrower=16,
        blocks=("3b", "4a", "4d", "4e"),
        stem=False,
        dropout=0.1,
        auxiliary_dropout=0.0,
    ),
    "digits": Config(classes=10, size=8, channels=1, narrower=8, stem=False),
    "imagenet": Config(),
}


def _convolution(
    x: keras.KerasTensor, width: int, side: int, *, stride: int = 1, name: str
) -> keras.KerasTensor:
    if stride > 1:
        x = keras.layers.ZeroPadding2D(side // 2, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        width,
        side,
        strides=stride,
        padding="valid" if stride > 1 else "same",
        activation="relu",
        kernel_initializer="glorot_uniform",
        bias_initializer=keras.initializers.Constant(0.2),
        name=name,
    )(x)


def _pool(x: keras.KerasTensor, name: str, *, stride: int = 2) -> keras.KerasTensor:
    """3x3; a side that does not divide keeps its last rest."""
    return keras.layers.MaxPooling2D(3, stride, padding="same", name=name)(x)


def _stem(x: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    if not config.stem:
        return _convolution(x, config.of(192), 3, name="conv_1")
    x = _convolution(x, config.of(64), 7, stride=2, name="conv_1")
    x = LocalResponseNormalization(name="lrn_1")(_pool(x, "pool_1"))
    x = _convolution(x, config.of(64), 1, name="conv_2_reduce")
    x = _convolution(x, config.of(192), 3, name="conv_2")
    return _pool(LocalResponseNormalization(name="lrn_2")(x), "pool_2")


def _block(x: keras.KerasTensor, config: Config, name: str) -> keras.KerasTensor:
    """Figure 2(b)."""
    one, before_three, three, before_five, five, pooled = map(config.of, BLOCKS[name])
    ways = [
        _convolution(x, one, 1, name=f"{name}_1x1"),
        _convolution(
            _convolution(x, before_three, 1, name=f"{name}_3x3_reduce"),
            three,
            3,
            name=f"{name}_3x3",
        ),
        _convolution(
            _convolution(x, before_five, 1, name=f"{name}_5x5_reduce"), five, 5, name=f"{name}_5x5"
        ),
        _convolution(_pool(x, f"{name}_pool", stride=1), pooled, 1, name=f"{name}_pool_1x1"),
    ]
    return keras.layers.Concatenate(name=name)(ways)


def _auxiliary(x: keras.KerasTensor, config: Config, name: str, classes: int) -> keras.KerasTensor:
    """Section 5: a mean of 5x5 with stride 3, 128 1x1, 1024 units, the classes."""
    side = min(5, config.middle)
    x = keras.layers.AveragePooling2D(side, 3, name=f"{name}_mean")(x)
    x = _convolution(x, config.of(128), 1, name=f"{name}_1x1")
    x = keras.layers.Flatten(name=f"{name}_row")(x)
    x = keras.layers.Dense(config.of(1024), activation="relu", name=f"{name}_fc")(x)
    x = keras.layers.Dropout(config.auxiliary_dropout, name=f"{name}_dropout")(x)
    return keras.layers.Dense(classes, dtype="float32", name=name)(x)


def build(config: Config) -> keras.Model:
    """float32 pictures [B, S, S, C] -> logits [B, K]; with heads a dict, also aux_1 and aux_2."""
    classes = classifying.check_classes(config)
    pictures = keras.Input((config.size, config.size, config.channels), name="image")
    x = _stem(pictures, config)
    heads = {}
    for name in config.blocks:
        x = _block(x, config, name)
        if name in HEADS and config.auxiliary:
            heads[HEADS[name]] = _auxiliary(x, config, HEADS[name], classes)
        if name in POOLED:
            x = _pool(x, f"pool_{name}")
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    x = keras.layers.Dropout(config.dropout, name="dropout")(x)
    logits = keras.layers.Dense(classes, dtype="float32", name="logits")(x)
    outputs = {"logits": logits, **heads} if heads else logits
    model = keras.Model(pictures, outputs, name="googlenet")
    model.auxiliary_weight = AUXILIARY_WEIGHT
    return model


def param_count(config: Config) -> int:
    """How many parameters `build(config)` makes, without making them."""
    classes = classifying.check_classes(config)

    def layer(inside: int, outside: int, side: int = 1) -> int:
        return inside * outside * side**2 + outside

    inside = config.of(192)
    count = layer(config.channels, inside, 3)
    if config.stem:
        first = config.of(64)
        count = layer(config.channels, first, 7) + layer(first, first) + layer(first, inside, 3)
    for name in config.blocks:
        one, before_three, three, before_five, five, pooled = map(config.of, BLOCKS[name])
        count += layer(inside, one) + layer(inside, pooled)
        count += layer(inside, before_three) + layer(before_three, three, 3)
        count += layer(inside, before_five) + layer(before_five, five, 5)
        inside = one + three + five + pooled
        if name in HEADS and config.auxiliary:
            side = (config.middle - min(5, config.middle)) // 3 + 1
            narrow, units = config.of(128), config.of(1024)
            count += layer(inside, narrow) + layer(side**2 * narrow, units) + layer(units, classes)
    return count + layer(inside, classes)


def endpoints(model: keras.Model, codec: Images) -> dict[str, Endpoint]:
    """`classify`, `predict_images`, `embed` (the last mean) and `features` (each block's map)."""
    stages = {layer.name: layer.name for layer in model.layers if layer.name in BLOCKS}
    return classifying.endpoints(model, codec, embedding="mean", stages=stages)
