"""DDPM: a network that tells noise from picture makes pictures out of noise, a little at a time.

A picture is mixed with normal noise, by a share that grows with the time t. A U-Net is shown the
mixture and t and says what the noise is. To make a picture one begins with noise alone and, time
by time, takes away what the network says: by the paper's random walk back, or in fewer steps and
without new noise (DDIM, Song et al. 2020).

The U-Net halves the picture level by level and doubles it again; each level on the way up is also
given what the way down had there. Every block is told the time. At some levels all places look at
each other (attention).

What was new: that learning to predict the noise, by squared error at a random time, is all it
takes. Later additions here: the cosine schedule (Nichol, Dhariwal 2021), and networks that are
told a class, which some training pictures hide, so that sampling can be guided (Ho, Salimans 2022).

Conventions. `guidance_scale` g gives none + g (told - none) of the noise predicted without and with
the class: 1 is off, 0 ignores the class. The data that a step predicts are cut off at -1 and 1,
and the noise follows from that; S of T times are evenly spread and begin at T - 1.

Departures. None in the networks: epsilon 1e-6, last maps of parts begin at zero. What is inpainted
is led by the known places at each step's noise (as in Song et al. 2021), which the paper lacks.

Shapes: B batch, S side, C channels of a picture, D of a map, E of the embedded time.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kmodels.core import checks, denoising, diffusion, rows
from kmodels.core.codecs.images import Images
from kmodels.core.denoising import NO_LABEL
from kmodels.core.normalisation import GroupNormalization
from kmodels.core.paper import Citation, Endpoint
from kmodels.core.rows import Draw

PAPER = Citation(
    title="Denoising Diffusion Probabilistic Models",
    authors="Ho, Jain, Abbeel",
    year=2020,
    url="https://arxiv.org/abs/2006.11239",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one network and its process.

    Attributes:
        size: Side of the pictures.
        channels: 3 for colour, 1 for grey.
        width: Channels of the first level's maps.
        multipliers: Of the width, one for each level; each level has half the side of the last.
        blocks: Residual blocks of a level on the way down; up it has one more.
        attention: Sides of the maps whose places look at each other.
        groups: Into which channels are normalised.
        dropout: Rate in [0, 1) in the residual blocks.
        labels: Classes that it can be told of; 0 is told nothing but the time.
        label_dropout: Share of training pictures whose class it is not told, in [0, 1).
        timesteps: T.
        schedule: How noise grows with the time.
        variance: Of a sampler's noise; see `diffusion.Process`.
    """

    size: int = 32
    channels: int = 3
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (16,)
    groups: int = 32
    dropout: float = 0.1
    labels: int = 0
    label_dropout: float = 0.15
    timesteps: int = 1000
    schedule: diffusion.Schedule = "linear"
    variance: diffusion.Variance = "large"

    def __post_init__(self) -> None:
        checks.at_least_one(self, "size", "width", "blocks", "groups", "timesteps")
        checks.channels(self)
        checks.rates(self, "dropout", "label_dropout")
        checks.choices(self, "schedule", "variance")
        if self.labels < 0:
            raise ValueError(f"config.labels is {self.labels}; it must be at least 0.")
        if min(self.multipliers, default=0) < 1:
            raise ValueError(
                f"config.multipliers is {self.multipliers}; it must hold numbers of at least 1."
            )
        if self.width % 2 or self.width < 4 or self.width % self.groups:
            raise ValueError(
                f"config.width is {self.width}; it must be even, at least 4, and divide into "
                f"{self.groups} groups."
            )
        if self.size % 2 ** (len(self.multipliers) - 1):
            raise ValueError(
                f"config.size {self.size} cannot be halved {len(self.multipliers) - 1} times."
            )
        if not set(self.attention) <= set(self.sides):
            raise ValueError(
                f"config.attention is {self.attention}; the levels have the sides {self.sides}."
            )
        left = self.process.alpha_bars[-1]
        if left > 0.05:
            raise ValueError(
                f"config.timesteps is {self.timesteps}; with the {self.schedule} schedule "
                f"{left:.0%} of the picture is left at the end, and it must be at most 5%: take "
                "more, or cosine."
            )

    @property
    def sides(self) -> tuple[int, ...]:
        """Of each level's maps."""
        return tuple(self.size >> level for level in range(len(self.multipliers)))

    @property
    def process(self) -> diffusion.Process:
        """From pictures to noise."""
        return diffusion.Process.of(self.schedule, self.timesteps, variance=self.variance)


PRESETS = {
    "tiny": Config(
        size=8, channels=1, width=8, multipliers=(1, 2), blocks=1, attention=(), groups=4,
        labels=10, timesteps=10, schedule="cosine", variance="small",
    ),
    "digits": Config(
        size=8, channels=1, width=32, multipliers=(1, 2), blocks=1, attention=(4,), groups=8,
        dropout=0.0, labels=10, schedule="cosine", variance="small",
    ),
    # DDPM, appendix B: CIFAR-10, and LSUN and CelebA-HQ of 256 pixels.
    "cifar10": Config(),
    "256px": Config(size=256, multipliers=(1, 1, 2, 2, 4, 4), dropout=0.0),
    # DDIM's network for CelebA.
    "celeba64": Config(size=64, multipliers=(1, 2, 2, 2, 4)),
}  # fmt: skip


def norm(config: Config, name: str) -> GroupNormalization:
    """Group normalisation with the authors' epsilon."""
    return GroupNormalization(config.groups, epsilon=1e-6, name=name)


def conv(channels: int, name: str, *, zero: bool = False, **options: Any) -> keras.layers.Conv2D:
    """3 x 3, sides kept; Glorot's uniform, which is the paper's initialisation, or zero."""
    start = "zeros" if zero else "glorot_uniform"
    return keras.layers.Conv2D(
        channels, 3, padding="same", kernel_initializer=start, name=name, **options
    )


class Sinusoid(keras.layers.Layer):
    """Times [B] to their sines, then cosines, [B, width]; the slowest is 10,000 times slower."""

    def __init__(self, width: int, *, name: str) -> None:
        super().__init__(name=name)
        half = width // 2
        rates = np.exp(-math.log(10_000) * np.arange(half) / (half - 1))
        self.rates = rates.astype(np.float32)

    def call(self, times: tf.Tensor) -> tf.Tensor:
        angles = ops.cast(times, "float32")[:, None] * self.rates
        waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
        return ops.cast(waves, self.compute_dtype)


class ResBlock(keras.layers.Layer):
    """Maps [B, S, S, D] and the embedded time [B, E] to maps with `channels`."""

    def __init__(self, config: Config, channels: int, *, name: str) -> None:
        super().__init__(name=name)
        self.norm_1, self.norm_2 = norm(config, "norm_1"), norm(config, "norm_2")
        self.conv_1, self.conv_2 = conv(channels, "conv_1"), conv(channels, "conv_2", zero=True)
        self.time = keras.layers.Dense(channels, name="time")
        self.skip = keras.layers.Dense(channels, name="skip")  # a 1 x 1 convolution
        self.dropout = keras.layers.Dropout(config.dropout)
        self.channels = channels

    def build(self, x_shape: tuple[int | None, ...], time_shape: tuple[int | None, ...]) -> None:
        """Makes all weights at once; Keras would trace `call` for them."""
        inside = (*x_shape[:-1], self.channels)
        self.norm_1.build(x_shape)
        self.conv_1.build(x_shape)
        self.time.build(time_shape)
        self.norm_2.build(inside)
        self.conv_2.build(inside)
        self.widens = x_shape[-1] != self.channels
        if self.widens:
            self.skip.build(x_shape)

    def call(self, x: tf.Tensor, time: tf.Tensor, training: bool = False) -> tf.Tensor:
        y = self.conv_1(ops.silu(self.norm_1(x)))
        y = y + self.time(ops.silu(time))[:, None, None]
        y = self.conv_2(self.dropout(ops.silu(self.norm_2(y)), training=training))
        return (self.skip(x) if self.widens else x) + y


class Attention(keras.layers.Layer):
    """All places of maps [B, S, S, D] look at each other, with one head."""

    def __init__(self, config: Config, channels: int, *, name: str) -> None:
        super().__init__(name=name)
        self.channels = channels
        self.norm = norm(config, "norm")
        self.query, self.key, self.value = (
            keras.layers.Dense(channels, name=part) for part in ("query", "key", "value")
        )
        self.out = keras.layers.Dense(channels, kernel_initializer="zeros", name="out")

    def build(self, shape: tuple[int | None, ...]) -> None:
        for part in (self.norm, self.query, self.key, self.value, self.out):
            part.build(shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        height, width = x.shape[1:3]
        seen = ops.reshape(self.norm(x), (-1, height * width, self.channels))
        query = self.query(seen) * (1 / math.sqrt(self.channels))
        scores = ops.matmul(query, ops.swapaxes(self.key(seen), 1, 2))
        weights = ops.cast(ops.softmax(ops.cast(scores, "float32")), x.dtype)
        mixed = self.out(ops.matmul(weights, self.value(seen)))
        return x + ops.reshape(mixed, (-1, height, width, self.channels))


def unet(config: Config) -> keras.Model:
    """Pictures [B, S, S, C], times int32 [B] and, where it is told, labels -> noise, float32."""
    pictures = keras.Input((config.size, config.size, config.channels), name="pictures")
    times = keras.Input((), dtype="int32", name="times")
    inputs = [pictures, times]
    time = Sinusoid(config.width, name="sinusoid")(times)
    time = keras.layers.Dense(4 * config.width, activation="silu", name="time_1")(time)
    time = keras.layers.Dense(4 * config.width, name="time_2")(time)
    if config.labels:
        inputs.append(keras.Input((), dtype="int32", name="labels"))
        wide = keras.initializers.RandomNormal(stddev=1.0)
        table = keras.layers.Embedding(
            1 + config.labels, 4 * config.width, embeddings_initializer=wide, name="label"
        )
        time = time + table(inputs[-1] - NO_LABEL)  # the first row is that of no label

    def block(x: tf.Tensor, level: int, name: str) -> tf.Tensor:
        channels = config.width * config.multipliers[level]
        x = ResBlock(config, channels, name=name)(x, time)
        attends = config.sides[level] in config.attention
        return Attention(config, channels, name=f"{name}_attention")(x) if attends else x

    last = len(config.multipliers) - 1
    x = conv(config.width, "first")(pictures)
    seen = [x]
    for level in range(last + 1):
        for i in range(config.blocks):
            x = block(x, level, f"down_{level}_{i}")
            seen.append(x)
        if level < last:
            x = conv(x.shape[-1], f"halve_{level}", strides=2)(x)
            seen.append(x)
    x = ResBlock(config, x.shape[-1], name="middle_0")(x, time)
    x = Attention(config, x.shape[-1], name="middle_attention")(x)
    x = ResBlock(config, x.shape[-1], name="middle_1")(x, time)
    for level in reversed(range(last + 1)):
        for i in range(config.blocks + 1):
            x = block(ops.concatenate([x, seen.pop()], axis=-1), level, f"up_{level}_{i}")
        if level > 0:
            x = keras.layers.UpSampling2D(name=f"twice_{level}")(x)  # nearest
            x = conv(x.shape[-1], f"double_{level}")(x)
    x = ops.silu(norm(config, "norm")(x))
    noise = conv(config.channels, "noise", zero=True, dtype="float32")(x)
    return keras.Model(inputs, noise, name="unet")


class DDPM(keras.Model):
    """Noisy pictures [B, S, S, C], in units in which pictures are -1 to 1 -> their noise.

    Attributes:
        process: From pictures to noise.
        labels: Classes that it can be told of; 0 is none.
        draws: What training draws for each picture: its noise, its time as a share of T, and
            whether its class is hidden.
        seeds: Of those draws.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(name="ddpm")
        self.config, self.process, self.labels = config, config.process, config.labels
        self.unet = unet(config)
        sides = (config.size, config.size, config.channels)
        self.draws = {"noise": Draw("normal", sides), "time": Draw("uniform", ())}
        if self.labels:
            self.draws["hidden"] = Draw("uniform", ())
        self.seeds = keras.random.SeedGenerator(name="seeds")
        self.built = True

    def call(
        self,
        pictures: tf.Tensor,
        times: tf.Tensor | None = None,
        labels: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Times int32 [B] in [0, T), None is 0; labels int32 [B], -1 and None tell none."""
        count = ops.shape(pictures)[:1]
        inputs = [pictures, ops.zeros(count, "int32") if times is None else times]
        if self.labels:
            inputs.append(ops.full(count, NO_LABEL, "int32") if labels is None else labels)
        return self.unet(inputs, training=training)

    def guided(
        self, pictures: tf.Tensor, times: tf.Tensor, labels: tf.Tensor, scale: tf.Tensor
    ) -> tf.Tensor:
        """The noise by label, guided where a row's scale float32 [B] is not 1."""
        if not self.labels:
            return self(pictures, times)

        def both() -> tf.Tensor:
            twice, none = tf.concat([pictures, pictures], 0), tf.fill(tf.shape(labels), NO_LABEL)
            noise = self(twice, tf.concat([times, times], 0), tf.concat([labels, none], 0))
            told, free = tf.split(noise, 2)
            by = scale[:, None, None, None]
            return tf.where(by == 1, told, free + by * (told - free))

        plain = tf.reduce_all(scale == 1)
        return tf.cond(plain, lambda: self(pictures, times, labels), both)

    def noise(self, seeds: tf.Tensor) -> tf.Tensor:
        """What pictures begin with, float32 [B, S, S, C], of int64 [B]."""
        side, channels = self.config.size, self.config.channels
        return rows.normal(seeds, (side, side, channels))

    def sample(
        self,
        start: tf.Tensor,
        seeds: tf.Tensor,
        *,
        steps: tf.Tensor,
        eta: tf.Tensor,
        labels: tf.Tensor,
        scale: tf.Tensor,
        hold: diffusion.Hold | None = None,
    ) -> tf.Tensor:
        """Pictures of -1 to 1, as `diffusion.sample` has it; labels and scale as `guided`."""
        return diffusion.sample(
            self.process,
            lambda x, times: self.guided(x, times, labels, scale),
            start,
            seeds=seeds,
            steps=steps,
            eta=eta,
            hold=hold,
        )


def build(config: Config) -> DDPM:
    """The network, its weights created and initialised (appendix B)."""
    return DDPM(config)


def param_count(config: Config) -> int:
    """How many parameters `build(config)` makes, without making them."""
    told = 4 * config.width

    def layer(inside: int, outside: int, places: int = 1) -> int:
        return (places * inside + 1) * outside

    def block(inside: int, outside: int) -> int:
        skip = layer(inside, outside) if inside != outside else 0
        convolutions = layer(inside, outside, 9) + layer(outside, outside, 9)
        return 2 * (inside + outside) + convolutions + layer(told, outside) + skip

    def attention(width: int) -> int:
        return 2 * width + 4 * layer(width, width)

    count = layer(config.width, told) + layer(told, told) + layer(config.channels, config.width, 9)
    count += (1 + config.labels) * told if config.labels else 0
    now, seen = config.width, [config.width]
    widths = [config.width * by for by in config.multipliers]
    attends = [side in config.attention for side in config.sides]
    for width, has in zip(widths, attends, strict=True):
        for _ in range(config.blocks):
            count, now = count + block(now, width) + has * attention(width), width
            seen.append(now)
        if len(seen) < len(widths) * (config.blocks + 1):
            count += layer(now, now, 9)
            seen.append(now)
    count += 2 * block(now, now) + attention(now)
    for level, (width, has) in reversed(list(enumerate(zip(widths, attends, strict=True)))):
        for _ in range(config.blocks + 1):
            count, now = count + block(now + seen.pop(), width) + has * attention(width), width
        count += layer(now, now, 9) if level else 0
    return count + 2 * now + layer(now, config.channels, 9)


def endpoints(model: DDPM, codec: Images) -> dict[str, Endpoint]:
    """`sample` (from seeds), `interpolate` (between two), `inpaint` (a part of a picture)."""
    return denoising.endpoints(model, codec)
