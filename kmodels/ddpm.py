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

Beside the U-Net stands a network of ours for points, rows of a few numbers, so that one can count
what a diffusion model finds of a mixture: the U-Net's blocks with linear maps, on one level, which
are shown each number and waves of it. What it predicts is cut off at 5 deviations.

Conventions. `guidance_scale` g gives none + g (told - none) of the noise predicted without and with
the class: 1 is off, 0 ignores the class. The pictures that a step predicts are cut off at -1 and 1,
and the noise follows from that; S of T times are evenly spread and begin at T - 1.

Departures. None in the U-Net: epsilon 1e-6, last maps of parts begin at zero. What is inpainted
is led by the known places at each step's noise (as in Song et al. 2021), which the paper lacks.

Shapes: B batch, S side, C channels of a picture, N numbers of a point.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kmodels.core import activations, checks, denoising, diffusion, rows, timed, unet
from kmodels.core.codecs.features import Features
from kmodels.core.codecs.images import Images
from kmodels.core.denoising import NO_LABEL
from kmodels.core.paper import Citation, Endpoint
from kmodels.core.rows import Draw

PAPER = Citation(
    title="Denoising Diffusion Probabilistic Models",
    authors="Ho, Jain, Abbeel",
    year=2020,
    url="https://arxiv.org/abs/2006.11239",
)


BOUND = 5.0  # deviations beyond which no point lies; a network knows nothing of what is there
OCTAVES = 6  # of waves by which the network for points sees a number
MAPS = ("size", "channels", "multipliers", "attention")  # what only a U-Net has


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one network and its process.

    Attributes:
        inputs: Numbers of a point, for a network of `blocks` residual blocks of `width` units, and
            what is said of maps stays as it is; None is for pictures, and a U-Net.
        size: Side of the pictures.
        channels: 3 for colour, 1 for grey.
        width: Channels of the first level's maps, or units.
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

    inputs: int | None = None
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
        checks.at_least_one(self, "inputs", "size", "width", "blocks", "groups", "timesteps")
        checks.channels(self)
        checks.rates(self, "dropout", "label_dropout")
        checks.choices(self, "schedule", "variance")
        if self.labels < 0:
            raise ValueError(f"config.labels is {self.labels}; it must be at least 0.")
        if self.width % 2 or self.width < 4 or self.width % self.groups:
            raise ValueError(
                f"config.width is {self.width}; it must be even, at least 4, and divide into "
                f"{self.groups} groups."
            )
        self._check_points() if self.inputs else self._check_maps()
        left = self.process.alpha_bars[-1]
        if left > 0.05:
            raise ValueError(
                f"config.timesteps is {self.timesteps}; with the {self.schedule} schedule "
                f"{left:.0%} of the picture is left at the end, and it must be at most 5%: take "
                "more, or cosine."
            )

    def _check_maps(self) -> None:
        """Raises ValueError unless pictures can pass the levels."""
        if min(self.multipliers, default=0) < 1:
            raise ValueError(
                f"config.multipliers is {self.multipliers}; it must hold numbers of at least 1."
            )
        if self.size % 2 ** (len(self.multipliers) - 1):
            raise ValueError(
                f"config.size {self.size} cannot be halved {len(self.multipliers) - 1} times."
            )
        if not set(self.attention) <= set(self.sides):
            raise ValueError(
                f"config.attention is {self.attention}; the levels have the sides {self.sides}."
            )

    def _check_points(self) -> None:
        """Raises ValueError where something is said of maps, which points have not."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            value = tuple(value) if isinstance(value, list) else value  # as JSON has it
            if field.name in MAPS and value != field.default:
                raise ValueError(
                    f"config.{field.name} is {value}, and points, which config.inputs is of, have "
                    "no maps; leave it out."
                )

    @property
    def sides(self) -> tuple[int, ...]:
        """Of each level's maps."""
        return tuple(self.size >> level for level in range(len(self.multipliers)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an example."""
        return (self.inputs,) if self.inputs else (self.size, self.size, self.channels)

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
    # Ours, for the ring of 8 and the grid of 25.
    "points": Config(inputs=2, blocks=3, groups=8, dropout=0.0, variance="small"),
}  # fmt: skip


class Octaves(keras.layers.Layer):
    """Numbers [B, N] to [B, N (1 + 2 OCTAVES)]: themselves, their sines, their cosines.

    Each at 1, 2, 4 ... radians for a unit, so that near points look different from afar.
    """

    def call(self, x: tf.Tensor) -> tf.Tensor:
        angles = ops.cast(x, "float32")[:, :, None] * (2 ** np.arange(OCTAVES)).astype(np.float32)
        angles = ops.reshape(angles, (-1, x.shape[1] * OCTAVES))
        seen = ops.concatenate([ops.cast(x, "float32"), ops.sin(angles), ops.cos(angles)], axis=-1)
        return ops.cast(seen, self.compute_dtype)


def linear_network(config: Config) -> keras.Model:
    """Points [B, N], times int32 [B] and, where it is told, labels -> noise, float32.

    A point is a map of one place, so there are no levels, and what is convolved is multiplied.
    """
    points = keras.Input((config.inputs,), name="points")
    inputs, time = timed.told(config.width, config.width, labels=config.labels)
    seen = Octaves(name="octaves")(points)
    x = unet.linear(config.width, "first")(seen[:, None, None])
    for i in range(config.blocks):
        x = unet.ResBlock(config, config.width, layer=unet.linear, name=f"block_{i}")(x, time)
    x = activations.silu(unet.norm(config, "norm")(x))
    noise = unet.linear(points.shape[1], "noise", zero=True, dtype="float32")(x)
    return keras.Model([points, *inputs], noise[:, 0, 0], name="linear_network")


class DDPM(keras.Model):
    """Noisy pictures [B, S, S, C], -1 to 1 if noise is taken away, or points [B, N] -> their noise.

    Attributes:
        network: The U-Net, or the network of linear maps.
        process: From pictures to noise.
        labels: Classes that it can be told of; 0 is none.
        draws: What training draws for each example: its noise, its time as a share of T, and
            whether its class is hidden.
        seeds: Of those draws.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(name="ddpm")
        self.config, self.process, self.labels = config, config.process, config.labels
        self.network = linear_network(config) if config.inputs else unet.unet(config)
        self.draws = {"noise": Draw("normal", config.shape), "time": Draw("uniform", ())}
        if self.labels:
            self.draws["hidden"] = Draw("uniform", ())
        self.seeds = keras.random.SeedGenerator(name="seeds")
        self.built = True

    def call(
        self,
        x: tf.Tensor,
        times: tf.Tensor | None = None,
        labels: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Times int32 [B] in [0, T), None is 0; labels int32 [B], -1 and None tell none."""
        count = ops.shape(x)[:1]
        inputs = [x, ops.zeros(count, "int32") if times is None else times]
        if self.labels:
            inputs.append(ops.full(count, NO_LABEL, "int32") if labels is None else labels)
        return self.network(inputs, training=training)

    def guided(
        self, x: tf.Tensor, times: tf.Tensor, labels: tf.Tensor, scale: tf.Tensor
    ) -> tf.Tensor:
        """The noise by label, guided where a row's scale float32 [B] is not 1."""
        if not self.labels:
            return self(x, times)

        def twice() -> tuple[tf.Tensor, ...]:
            none = tf.fill(tf.shape(labels), NO_LABEL)
            return tuple(tf.concat(p, 0) for p in ([x, x], [times, times], [labels, none]))

        def mixed() -> tf.Tensor:
            told, free = tf.split(noise, 2)
            by = tf.reshape(scale, [-1] + [1] * len(self.config.shape))
            return tf.where(by == 1, told, free + by * (told - free))

        plain = tf.reduce_all(scale == 1)  # decided around the network, which is in a graph once
        noise = self(*tf.cond(plain, lambda: (x, times, labels), twice))
        return tf.ensure_shape(tf.cond(plain, lambda: noise, mixed), x.shape)

    def noise(self, seeds: tf.Tensor) -> tf.Tensor:
        """What examples begin with, float32 [B, ...], of int64 [B]."""
        return rows.normal(seeds, self.config.shape)

    def sample(
        self,
        start: tf.Tensor,
        seeds: tf.Tensor,
        *,
        steps: tf.Tensor,
        eta: tf.Tensor,
        labels: tf.Tensor,
        scale: tf.Tensor,
        quadratic: tf.Tensor | None = None,
        hold: diffusion.Hold | None = None,
    ) -> tf.Tensor:
        """As `diffusion.sample` has it, pictures cut off at 1; labels and scale as `guided`.

        Weights are read once, and not at every turn of its loop.
        """
        weights = [(weight, tf.convert_to_tensor(weight)) for weight in self.weights]

        def predict(x: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
            with keras.StatelessScope(state_mapping=weights):
                return self.guided(x, times, labels, scale)

        return diffusion.sample(
            self.process,
            predict,
            start,
            seeds=seeds,
            steps=steps,
            eta=eta,
            quadratic=quadratic,
            clip=BOUND if self.config.inputs else 1.0,
            hold=hold,
        )


def build(config: Config) -> DDPM:
    """The network, its weights created and initialised (appendix B)."""
    return DDPM(config)


def param_count(config: Config) -> int:
    """How many parameters `build(config)` makes, without making them."""
    if not config.inputs:
        return unet.param_count(config)
    width = config.width
    block = 3 * (width + 1) * width + 4 * width  # two linear maps and the time; two norms
    seen = config.inputs * (1 + 2 * OCTAVES)
    ends = (seen + 1) * width + 2 * width + (width + 1) * config.inputs
    return timed.param_count(width, width, labels=config.labels) + config.blocks * block + ends


def endpoints(model: DDPM, codec: Images | Features) -> dict[str, Endpoint]:
    """`sample` (from seeds); of pictures `interpolate` (between two), `inpaint` (a part of one)."""
    return denoising.endpoints(model, codec)
