"""Jigsaw: a network that puts a picture's tiles in order has to know what things look like.

Nine tiles are cut out of a picture, one from each cell of a 3 x 3 grid, and shuffled by one of a
fixed set of permutations. A tower sees each tile by itself, the same tower for all (the network is
free of context); only what it says of the nine is joined, and two linear layers and a classifier
name the permutation. Afterwards the tower alone begins to learn another task, with few labels.

What was new: a task without labels that needs all parts of an object at once, and a network in
which tiles cannot be compared before each has been understood. Much of the work closes short cuts:
tiles lie with gaps and anywhere in their cells, so that edges do not continue; each is normalised
by itself, so that light does not tell where it was; channels are shifted and some pictures grey,
so that a lens's colour fringes do not.

Departures. The tower normalises responses before it pools, as AlexNet's paper and `alexnet` have
it, the published program after. Weights begin as He et al. (2015) have it and biases at 0; the
paper does not say how, its program has N(0, 0.01) and some biases at 1, as AlexNet. A grid lies
anywhere in the central square of a picture. Small pictures have a ResNet as their tower, all of
whose last map goes to the head. A classifier that begins with a tower sees pictures as they are
prepared for it; here each has been normalised by itself.

Shapes: B batch, S side of a picture, T of a tile, C channels, F features, P permutations.
"""

import dataclasses
import math
from typing import Literal

import keras
import tensorflow as tf

from kmodels import alexnet, resnet
from kmodels.core import checks, puzzles
from kmodels.core.codecs import images
from kmodels.core.codecs.images import Images
from kmodels.core.normalisation import LocalResponseNormalization
from kmodels.core.paper import Citation, Endpoint
from kmodels.core.puzzles import SIDE, TILES
from kmodels.core.rows import Draw
from kmodels.core.sampling import must

PAPER = Citation(
    title="Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles",
    authors="Noroozi, Favaro",
    year=2016,
    url="https://arxiv.org/abs/1603.09246",
)
FIRST = (11, 2)  # side and stride of AlexNet's first kernels; the stride is 4 for whole pictures
GROUPS = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The puzzles, and the network that solves them.

    Attributes:
        size: Side of the pictures; the grid lies anywhere in them.
        channels: 3 for colour, 1 for grey.
        cell: Side of a cell.
        tile: Side of a tile.
        jitter: By how many pixels a tile may lie elsewhere in its cell, at most `cell - tile`; 0
            puts it in the middle.
        normalise: Whether each channel of a tile gets mean 0 and deviation 1.
        colour_shift: By how many pixels each channel of a tile is shifted at most, up or down and
            left or right, where the picture is not grey.
        grey: Share of the pictures that are shown without colour, in [0, 1].
        permutations: P, far from each other.
        seed: Of the first permutation, which decides the others.
        tower: What sees a tile.
        widths: Channels of an AlexNet's five convolutions, or of each stage of a ResNet.
        depths: Blocks of each stage of a ResNet; an AlexNet has none.
        stem: Of a ResNet, as `resnet` has it.
        block: Of a ResNet.
        statistics: Over what a ResNet's batches are normalised.
        hidden: Units that see one tile (fc6), and units that see all (fc7).
        dropout: Rate in [0, 1) on both.
    """

    size: int = 256
    channels: int = 3
    cell: int = 75
    tile: int = 64
    jitter: int = 11
    normalise: bool = True
    colour_shift: int = 2
    grey: float = 0.3
    permutations: int = 1000
    seed: int = 0
    tower: Literal["alexnet", "resnet"] = "alexnet"
    widths: tuple[int, ...] = (96, 256, 384, 384, 256)
    depths: tuple[int, ...] = ()
    stem: Literal["imagenet", "cifar"] = "cifar"
    block: Literal["basic", "bottleneck"] = "basic"
    statistics: Literal["replica", "all"] = "replica"
    hidden: tuple[int, ...] = (1024, 4096)
    dropout: float = 0.5

    def __post_init__(self) -> None:
        checks.at_least_one(self, "tile")
        checks.channels(self)
        checks.choices(self, "tower")
        checks.rates(self, "dropout")
        self._check_puzzle()
        self._check_network()

    def _check_puzzle(self) -> None:
        for name in ("jitter", "colour_shift", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"config.{name} is {getattr(self, name)}; it must be at least 0.")
        if not 0 <= self.grey <= 1:
            raise ValueError(f"config.grey is {self.grey}; it must lie in [0, 1].")
        if self.tile + self.jitter > self.cell:
            raise ValueError(
                f"config.tile {self.tile} and config.jitter {self.jitter} are more than "
                f"config.cell, {self.cell}; a tile stays in its cell."
            )
        if SIDE * self.cell > self.size:
            raise ValueError(
                f"config.size is {self.size}; it must hold three cells of {self.cell} a side."
            )
        most = math.factorial(TILES)
        if not 2 <= self.permutations <= most:
            raise ValueError(
                f"config.permutations is {self.permutations:,}; it must lie in 2 to {most:,}."
            )

    def _check_network(self) -> None:
        if len(self.hidden) != 2 or min(self.hidden) < 1:
            raise ValueError(
                f"config.hidden is {self.hidden}; it must hold two numbers of at least 1."
            )
        if self.tower == "resnet":
            resnet_of(self)  # checks what both have
            return
        if len(self.widths) != 5 or self.depths or any(w < 1 or w % GROUPS for w in self.widths):
            raise ValueError(
                f"config.widths is {self.widths} and config.depths {self.depths}; an AlexNet has "
                "five even widths and no depths."
            )
        if self.map_side < 1:
            raise ValueError(
                f"config.tile is {self.tile}; nothing is left of it after an AlexNet's three pools."
            )

    @property
    def grid(self) -> puzzles.Grid:
        """Where tiles may lie."""
        names = [field.name for field in dataclasses.fields(puzzles.Grid)]
        return puzzles.Grid(**{name: getattr(self, name) for name in names})

    @property
    def features(self) -> int:
        """F, channels of the tower's last map."""
        wide = self.tower == "resnet" and self.block == "bottleneck"
        return self.widths[-1] * (4 if wide else 1)

    @property
    def map_side(self) -> int:
        """Of the tower's last map of a tile; below 1 where nothing is left."""
        if self.tower == "alexnet":
            return ((self.tile - FIRST[0]) // FIRST[1] + 1) >> len(alexnet.POOLED)
        halvings = len(self.widths) - 1 + (2 if self.stem == "imagenet" else 0)
        return -(-self.tile >> halvings)


def resnet_of(config: Config) -> resnet.Config:
    """The ResNet whose last map is the tower's, built as `simclr` has its encoder."""
    return resnet.Config(
        classes=1,
        size=config.tile,
        channels=config.channels,
        stem=config.stem,
        widths=config.widths,
        depths=config.depths,
        block=config.block,
        stride_in="3x3",
        statistics=config.statistics,
        zero_gamma=True,
    )


PRESETS = {
    "tiny": Config(
        size=16, channels=1, cell=5, tile=4, jitter=1, permutations=4,
        tower="resnet", widths=(8,), depths=(1,), statistics="all", hidden=(8, 16), dropout=0.0,
    ),
    # Digits of 8 x 8, three times as large: a tile shows two of their pixels and two thirds.
    "digits": Config(
        size=24, channels=1, cell=8, tile=6, jitter=2,
        tower="resnet", widths=(16, 32, 64), depths=(1, 1, 1), hidden=(64, 256), dropout=0.0,
    ),
    # A network for CIFAR-10 that gives `resnet` its weights.
    "cifar10": Config(
        size=32, cell=10, tile=8, jitter=2, colour_shift=1, permutations=100,
        tower="resnet", widths=(16, 32, 64), depths=(3, 3, 3), hidden=(128, 512), dropout=0.0,
    ),
    # Section 3: the context-free network, 1,000 permutations; then the published code's.
    "cfn": Config(),
    "cfn-255": Config(size=255, cell=85, jitter=21, permutations=100),
}  # fmt: skip


def _he() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


def tower(config: Config) -> keras.Model:
    """float32 pictures [B, H, W, C], tiles or whole ones -> maps [B, h, w, F].

    Its variables have the paths that they have in `alexnet` and `resnet`.
    """
    if config.tower == "resnet":
        whole = resnet.build(resnet_of(config))
        return keras.Model(whole.input, whole.get_layer("mean").input, name="tower")
    kernel, stride = FIRST
    x = pictures = keras.Input((None, None, config.channels), name="image")
    for i, width in enumerate(config.widths):
        x = keras.layers.Conv2D(
            width,
            alexnet.SIDES[i - 1] if i else kernel,
            strides=1 if i else stride,
            padding="same" if i else "valid",
            groups=GROUPS if i in alexnet.GROUPED else 1,
            activation="relu",
            kernel_initializer=_he(),
            name=f"conv_{i + 1}",
        )(x)
        if i < 2:
            x = LocalResponseNormalization(name=f"lrn_{i + 1}")(x)
        if i in alexnet.POOLED:  # the last place counts too, though half a window hangs over
            x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"pool_{i + 1}_pad")(x)
            x = keras.layers.MaxPooling2D(3, 2, name=f"pool_{i + 1}")(x)
    return keras.Model(pictures, x, name="tower")


def head(config: Config) -> keras.Model:
    """What the tower says of nine tiles [B, 9, h * w * F] -> logits, float32 [B, P]."""

    def dense(units: int, name: str) -> keras.layers.Dense:
        return keras.layers.Dense(units, activation="relu", kernel_initializer=_he(), name=name)

    x = said = keras.Input((TILES, config.map_side**2 * config.features), name="said")
    alone, joined = config.hidden
    x = keras.layers.Dropout(config.dropout, name="dropout_6")(dense(alone, "fc_6")(x))
    x = keras.layers.Reshape((TILES * alone,), name="joined")(x)
    x = keras.layers.Dropout(config.dropout, name="dropout_7")(dense(joined, "fc_7")(x))
    logits = keras.layers.Dense(config.permutations, dtype="float32", name="logits")(x)
    return keras.Model(said, logits, name="puzzle")


class CFN(keras.Model):
    """Shuffled tiles [B, 9, T, T, C] -> logits of the permutations, float32 [B, P].

    Attributes:
        tower: Sees a tile.
        head: Joins what is said of nine.
        orders: The permutations, int32 [P, 9]: which tile lies at each place of a shuffled row.
        draws: What a batch of pictures needs to become puzzles; see `training.draws`.
        seeds: Of those draws.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(name="jigsaw")
        self.config = config
        self.tower = tower(config)
        with keras.name_scope("puzzle"):  # so that no classifier takes these for its own
            self.head = head(config)
        self.orders = puzzles.permutations(config.permutations, seed=config.seed)
        self.seeds = keras.random.SeedGenerator(name="seeds")
        self.built = True  # both parts are

    @property
    def draws(self) -> dict[str, Draw]:
        return self.config.grid.draws

    def call(self, tiles: tf.Tensor, training: bool = False) -> tf.Tensor:
        maps = self.maps(tf.reshape(tiles, (-1, *tiles.shape[2:])), training=training)
        width = self.config.map_side**2 * self.config.features
        return self.head(tf.reshape(maps, (-1, TILES, width)), training=training)

    def maps(self, pictures: tf.Tensor, training: bool = False) -> tf.Tensor:
        """What the tower says of tiles, or of whole pictures, [n, H, W, C] -> [n, h, w, F]."""
        seen = puzzles.normalised(pictures) if self.config.normalise else pictures
        return self.tower(seen, training=training)

    def puzzles(self, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Shuffled tiles [B, 9, T, T, C] of `image` [B, S, S, C], and each answer, int32 [B].

        A pure function of the pictures and of what is drawn for them.
        """
        answer = puzzles.drawn_order(batch, self.config.permutations)
        tiles = self.config.grid.tiles(batch["image"], batch)
        return puzzles.shuffled(tiles, tf.gather(tf.constant(self.orders), answer)), answer


def build(config: Config) -> CFN:
    """The network, its weights created and initialised."""
    return CFN(config)


def param_count(config: Config) -> int:
    """How many trainable parameters `build(config)` makes, without making them."""
    if config.tower == "resnet":
        count = resnet.param_count(resnet_of(config)) - (config.features + 1)
    else:
        count, inside = 0, config.channels
        for i, width in enumerate(config.widths):
            side = alexnet.SIDES[i - 1] if i else FIRST[0]
            groups = GROUPS if i in alexnet.GROUPED else 1
            count += (side**2 * inside // groups + 1) * width
            inside = width
    alone, joined = config.hidden
    count += (config.map_side**2 * config.features + 1) * alone
    return count + (TILES * alone + 1) * joined + (joined + 1) * config.permutations


def endpoints(model: CFN, codec: Images) -> dict[str, Endpoint]:
    """`solve`: nine picture files a row to their order; `embed`: a picture's features.

    Features [B, F] are the mean over the tower's last map of the whole picture.
    """
    one = dataclasses.replace(codec, size=model.config.tile, short=None)

    def solve(tiles: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.strings.reduce_join(tf.strings.as_string(tf.shape(tiles)[1:]), separator=" x ")
        given = tf.where(count == "", "no rows", count)  # as a server may be
        sentence = "each row of tiles must hold 9 pictures; given"
        with tf.control_dependencies(must(count == str(TILES), sentence, given)):
            files = tf.reshape(tiles, (-1, TILES))
        said = tf.nn.softmax(model(read_tiles(one, files), training=False))
        found = tf.argmax(said, axis=1, output_type=tf.int32)
        return {
            "permutation": found,
            "order": tf.gather(tf.constant(model.orders), found),
            "probability": tf.reduce_max(said, axis=1),
        }

    def embed(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": embedded(model, codec.read(image_bytes))}

    by_tiles = Endpoint(
        function=solve,
        inputs={"tiles": tf.TensorSpec([None, None], tf.string)},
        example={"tiles": _example(model, codec)},
    )
    by_bytes = Endpoint(
        function=embed,
        inputs={"image_bytes": tf.TensorSpec([None], tf.string)},
        example={"image_bytes": list(codec.examples)},
    )
    return {"serving_default": by_tiles, "solve": by_tiles, "embed": by_bytes}


def embedded(model: CFN, seen: tf.Tensor) -> tf.Tensor:
    """Features of pictures as the codec sees them, [B, H, W, C] -> float32 [B, F]."""
    return tf.reduce_mean(tf.cast(model.maps(seen), tf.float32), (1, 2))


def read_tiles(codec: Images, files: tf.Tensor) -> tf.Tensor:
    """Picture files string [B, 9] -> tiles as the network sees them, [B, 9, T, T, C]; traceable.

    Args:
        codec: Of the tile's size.

    Raises:
        tf.errors.InvalidArgumentError: as `Images.read`; the message names the tile and its row.
    """
    shape = (codec.size, codec.size, codec.channels)

    @tf.autograph.experimental.do_not_convert
    def one(number_and_content: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        number, content = number_and_content
        about = tf.strings.format("tile {} of row {}", (number % TILES, number // TILES))
        return codec.fit(tf.cast(images.picture(content, about), tf.float32))

    flat = tf.reshape(files, [-1])
    spec = tf.TensorSpec(shape, tf.float32)
    read = tf.map_fn(one, (tf.range(tf.size(flat)), flat), fn_output_signature=spec)
    return tf.reshape(codec.see(read), (-1, TILES, *shape))


def _example(model: CFN, codec: Images) -> list[list[bytes]]:
    """PNG files of the tiles of the codec's examples, shuffled by the first permutations."""
    image = codec.read(tf.constant(codec.examples))
    count = len(codec.examples)
    batch = {key: tf.fill((count, *draw.shape), 0.5) for key, draw in model.draws.items()}
    chances = (tf.range(count, dtype=tf.float32) + 0.5) / model.config.permutations
    tiles, _ = model.puzzles({"image": image, **batch, "order": chances % 1.0})
    return [[tf.io.encode_png(tile).numpy() for tile in row] for row in codec.unsee(tiles)]
