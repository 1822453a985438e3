"""ViT: a Transformer that reads a picture as a row of patches.

The picture is cut into patches, each patch becomes a vector by one linear map, a vector for its
place is added, and a class token is put in front. Blocks let every token look at every other
(attention) and then think (a two-layer MLP). What the class token has become goes to a linear
classifier.

What was new: no convolution. With enough pictures to learn from, what a convolution knows
beforehand of neighbours can be learnt as well.

Departures. None: GELU is the tanh form of the authors' program, LayerNorm's epsilon 1e-6, the head
begins at zero. A picture of another size has more or fewer patches; the places of the trained grid
are then interpolated (section 3.2), bilinearly from corner to corner, as that program does.

Shapes: B batch, T tokens (patches and the class token), D width, H heads, K width of a head.
"""

import dataclasses
import math
from typing import Literal

import keras
import tensorflow as tf
from keras import ops

from kmodels.core import activations, checks, classifying
from kmodels.core.codecs.images import Images
from kmodels.core.normalisation import LayerNormalization
from kmodels.core.paper import Citation, Endpoint

PAPER = Citation(
    title="An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
    authors="Dosovitskiy, Beyer, Kolesnikov, Weissenborn, Zhai, Unterthiner, Dehghani, Minderer, "
    "Heigold, Gelly, Uszkoreit, Houlsby",
    year=2020,
    url="https://arxiv.org/abs/2010.11929",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one network.

    Attributes:
        classes: None takes the codec's when a run is resolved.
        size: Side of the pictures it is trained on; others work, if patches divide them.
        channels: 3 for colour, 1 for grey.
        patch: Side of a patch.
        mlp: Units inside the MLP; None is four times the width.
        dropout: Rate in [0, 1) on embeddings and in the MLP.
        activation: "gelu_tanh" is what the authors' program computes, "gelu" the exact function,
            which weights of later implementations want.
        epsilon: Of the layer normalisations.
        representation: Units of a tanh layer before the classifier, as in pre-training; None has
            none.
    """

    classes: int | None = 1000
    size: int = 224
    channels: int = 3
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int | None = None
    dropout: float = 0.1
    activation: Literal["gelu_tanh", "gelu"] = "gelu_tanh"
    epsilon: float = 1e-6
    representation: int | None = None

    def __post_init__(self) -> None:
        checks.at_least_one(self, "size", "patch", "width", "depth", "heads")
        checks.channels(self)
        if self.size % self.patch:
            raise ValueError(
                f"config.size {self.size} does not divide into patches of {self.patch}."
            )
        if self.width % self.heads:
            raise ValueError(f"config.width {self.width} does not divide into {self.heads} heads.")
        checks.choices(self, "activation")
        checks.rates(self, "dropout")

    @property
    def grid(self) -> int:
        """Patches a side."""
        return self.size // self.patch

    @property
    def inner(self) -> int:
        """Units inside the MLP."""
        return self.mlp or 4 * self.width


PRESETS = {
    "tiny": Config(
        classes=None, size=8, channels=1, patch=4, width=16, depth=2, heads=2, dropout=0.1
    ),
    "digits": Config(
        classes=10, size=8, channels=1, patch=2, width=64, depth=4, heads=4, dropout=0.0
    ),
    # Table 1; Ti and S are of later papers.
    "ti-16": Config(width=192, heads=3),
    "s-16": Config(width=384, heads=6),
    "s-32": Config(width=384, heads=6, patch=32),
    "b-32": Config(patch=32),
    "b-16": Config(),
    "l-32": Config(width=1024, depth=24, heads=16, patch=32),
    "l-16": Config(width=1024, depth=24, heads=16),
    "h-14": Config(width=1280, depth=32, heads=16, patch=14),
}


class Tokens(keras.layers.Layer):
    """Patches [B, h, w, D] to tokens [B, 1 + h w, D]: the class token in front, places added."""

    def __init__(self, config: Config, *, name: str) -> None:
        super().__init__(name=name)
        self.grid, self.width = config.grid, config.width

    def build(self, shape: tuple[int | None, ...]) -> None:
        """The class token begins at zero, the places at N(0, 0.02)."""
        self.token = self.add_weight(shape=(1, 1, self.width), initializer="zeros", name="token")
        self.places = self.add_weight(
            shape=(1, 1 + self.grid**2, self.width),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="places",
        )

    def call(self, patches: tf.Tensor) -> tf.Tensor:
        height, width = patches.shape[1], patches.shape[2]
        places = ops.cast(self.places, patches.dtype)
        if (height, width) != (self.grid, self.grid):
            places = interpolated(places, *ops.shape(patches)[1:3])
        rows = ops.reshape(patches, (-1, ops.shape(patches)[1] * ops.shape(patches)[2], self.width))
        first = ops.broadcast_to(
            ops.cast(self.token, rows.dtype), (ops.shape(rows)[0], 1, self.width)
        )
        return ops.concatenate([first, rows], axis=1) + places


def interpolated(places: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Places [1, 1 + G G, D] for a grid of another size: bilinear, corners on corners."""
    side, depth = round((places.shape[1] - 1) ** 0.5), places.shape[2]
    grid = ops.reshape(places[:, 1:], (side, side, depth))

    def along(values: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Interpolates the first axis to `count` values."""
        at = tf.linspace(0.0, float(side - 1), count)
        low = tf.cast(tf.floor(at), tf.int32)
        high = tf.minimum(low + 1, side - 1)
        part = tf.cast(at - tf.floor(at), values.dtype)[:, None, None]
        return tf.gather(values, low) * (1 - part) + tf.gather(values, high) * part

    wide = along(ops.transpose(along(grid, height), (1, 0, 2)), width)  # [w, h, D]
    flat = ops.reshape(ops.transpose(wide, (1, 0, 2)), (1, -1, depth))
    return ops.concatenate([places[:, :1], flat], axis=1)


class Attention(keras.layers.Layer):
    """Multi-head self-attention in which every token sees every other (appendix A)."""

    def __init__(self, config: Config, *, name: str) -> None:
        super().__init__(name=name)
        self.heads, self.head_width = config.heads, config.width // config.heads
        self.qkv = [
            keras.layers.Dense(config.width, kernel_initializer="glorot_uniform", name=part)
            for part in ("query", "key", "value")
        ]
        self.out = keras.layers.Dense(config.width, kernel_initializer="glorot_uniform", name="out")

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Makes all weights at once; Keras would trace `call` for them, once per level."""
        for part in (*self.qkv, self.out):
            part.build(shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        def split(part: keras.layers.Dense) -> tf.Tensor:
            values = ops.reshape(part(x), (-1, ops.shape(x)[1], self.heads, self.head_width))
            return ops.transpose(values, (0, 2, 1, 3))  # [B, H, T, K]

        query, key, value = map(split, self.qkv)
        scores = ops.matmul(query * (1 / math.sqrt(self.head_width)), ops.swapaxes(key, -1, -2))
        weights = ops.cast(ops.softmax(ops.cast(scores, "float32")), value.dtype)
        mixed = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return self.out(ops.reshape(mixed, (-1, ops.shape(x)[1], self.heads * self.head_width)))


class Block(keras.layers.Layer):
    """Equations 2 and 3: attention and an MLP, each of the normalised tokens, each added."""

    def __init__(self, config: Config, *, name: str) -> None:
        super().__init__(name=name)
        self.approximate = config.activation == "gelu_tanh"
        small = keras.initializers.RandomNormal(stddev=1e-6)
        self.norm_1 = LayerNormalization(epsilon=config.epsilon, name="norm_1")
        self.norm_2 = LayerNormalization(epsilon=config.epsilon, name="norm_2")
        self.attention = Attention(config, name="attention")
        self.up = keras.layers.Dense(config.inner, bias_initializer=small, name="up")
        self.down = keras.layers.Dense(config.width, bias_initializer=small, name="down")
        self.dropout = keras.layers.Dropout(config.dropout)

    def build(self, shape: tuple[int | None, ...]) -> None:
        for part in (self.norm_1, self.attention, self.norm_2, self.up):
            part.build(shape)
        self.down.build((*shape[:-1], self.up.units))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = x + self.dropout(self.attention(self.norm_1(x)), training=training)
        inside = activations.gelu(self.up(self.norm_2(x)), approximate=self.approximate)
        inside = self.dropout(inside, training=training)
        return x + self.dropout(self.down(inside), training=training)


def build(config: Config) -> keras.Model:
    """float32 pictures [B, S, S, C] -> logits [B, classes]; S may differ from the config's."""
    classes = classifying.check_classes(config)
    pictures = keras.Input((None, None, config.channels), name="image")
    x = keras.layers.Conv2D(
        config.width,
        config.patch,
        strides=config.patch,
        kernel_initializer="lecun_normal",
        name="patches",
    )(pictures)
    x = Tokens(config, name="tokens")(x)
    x = keras.layers.Dropout(config.dropout, name="dropout")(x)
    for i in range(config.depth):
        x = Block(config, name=f"block_{i}")(x)
    x = LayerNormalization(epsilon=config.epsilon, name="norm")(x)
    x = First(name="class_token")(x)
    if config.representation is not None:
        x = keras.layers.Dense(config.representation, activation="tanh", name="representation")(x)
    logits = keras.layers.Dense(
        classes, kernel_initializer="zeros", dtype="float32", name="logits"
    )(x)
    return keras.Model(pictures, logits, name="vit")


class First(keras.layers.Layer):
    """Tokens [B, T, D] to the first of each row, [B, D]."""

    def call(self, tokens: tf.Tensor) -> tf.Tensor:
        return tokens[:, 0]


def param_count(config: Config) -> int:
    """How many parameters `build(config)` makes, without making them."""
    classes, width = classifying.check_classes(config), config.width

    def layer(inside: int, outside: int) -> int:
        return (inside + 1) * outside

    block = 4 * layer(width, width) + layer(width, config.inner) + layer(config.inner, width)
    count = layer(config.patch**2 * config.channels, width) + (2 + config.grid**2) * width
    count += config.depth * (block + 4 * width) + 2 * width
    if config.representation is not None:
        count, width = count + layer(width, config.representation), config.representation
    return count + layer(width, classes)


def endpoints(model: keras.Model, codec: Images) -> dict[str, Endpoint]:
    """`classify`, `predict_images`, `embed` (the class token), `features` (each block's tokens)."""
    blocks = {n: n for n in (layer.name for layer in model.layers) if n.startswith("block_")}
    return classifying.endpoints(model, codec, embedding="class_token", stages=blocks)
