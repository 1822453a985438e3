"""Deep Q-network: one network learns to play dozens of games from pixels and the score alone.

Of each action the network tells what it is worth in this state: the sum of rewards to come, later
ones discounted. Who always takes the action of most worth plays well if the numbers are right; and
they can be put right by playing, because the worth of a step is its reward and the worth of where
it leads. Four frames of the screen are a state, so that one sees where the ball is going.

What was new: that it holds together. What was played is kept and learnt from in any order (replay),
so that successive frames do not teach the same thing over and over, and where a step leads is
valued by an older copy of the network (the target), which does not run after itself. Before, neural
networks diverged on this task.

Departures. None in the networks. DeepMind's code pads the first convolution's input by one pixel,
which adds no output: 20 x 20 with and without, and the paper names no padding. What the paper does
not say is taken from that code: weights and biases begin uniform within 1 / sqrt(inputs of a unit).

Shapes: B states, H and W side, C frames of a stack or channels, D numbers of a state, A actions.
"""

import dataclasses
import itertools
import math

import keras
import numpy as np
import tensorflow as tf

from kmodels.core import checks, rows
from kmodels.core.codecs.features import Features
from kmodels.core.paper import Citation, Endpoint
from kmodels.core.sampling import must

PAPER = Citation(
    title="Human-Level Control through Deep Reinforcement Learning",
    authors="Mnih, Kavukcuoglu, Silver, Rusu, Veness, Bellemare, Graves, Riedmiller, Fidjeland, "
    "Ostrovski, Petersen, Beattie, Sadik, Antonoglou, King, Kumaran, Wierstra, Legg, Hassabis",
    year=2015,
    url="https://doi.org/10.1038/nature14236",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one network.

    Attributes:
        observation: Shape of a state: H, W and C of pixels (uint8), or D numbers (float32).
        actions: A, how many there are to choose from.
        filters: Channels of each convolution; none for a state of D numbers.
        kernels: Their sides.
        strides: Their steps.
        hidden: Units of each hidden layer after that.
        highest: What pixels are divided by; 1 for those that are 0 or 1.
    """

    observation: tuple[int, ...] = (84, 84, 4)
    actions: int = 4
    filters: tuple[int, ...] = (32, 64, 64)
    kernels: tuple[int, ...] = (8, 4, 3)
    strides: tuple[int, ...] = (4, 2, 1)
    hidden: tuple[int, ...] = (512,)
    highest: float = 255.0

    def __post_init__(self) -> None:
        shape = self.observation
        if len(shape) not in (1, 3) or min(shape) < 1:
            raise ValueError(
                f"config.observation is {shape}; it must be a number, or height, width, channels."
            )
        checks.at_least_one(self, "actions")
        for name in ("filters", "kernels", "strides", "hidden"):
            if min(getattr(self, name), default=1) < 1:
                raise ValueError(
                    f"config.{name} is {getattr(self, name)}; it must hold numbers of at least 1."
                )
        counts = {len(self.filters), len(self.kernels), len(self.strides)}
        if len(counts) > 1 or (len(shape) == 1 and self.filters):
            raise ValueError(
                f"config.filters is {self.filters}, kernels {self.kernels} and strides "
                f"{self.strides}; they must be as many, and none where a state is not of pixels."
            )
        if not self.highest > 0:
            raise ValueError(f"config.highest is {self.highest}; it must be above 0.")
        if min(_sides(self)[-1]) < 1:
            raise ValueError(
                f"config.observation is {shape}; the convolutions leave nothing of it."
            )

    @property
    def pixels(self) -> bool:
        """Whether a state is of pixels."""
        return len(self.observation) == 3


def _sides(config: Config) -> list[tuple[int, ...]]:
    """Height and width of the input and after each convolution; (1,) of a state of numbers."""
    sides = [config.observation[:2] if config.pixels else (1,)]
    for kernel, stride in zip(config.kernels, config.strides, strict=True):
        sides.append(tuple((side - kernel) // stride + 1 for side in sides[-1]))
    return sides


PRESETS = {
    "tiny": Config(observation=(4,), actions=2, filters=(), kernels=(), strides=(), hidden=(16,)),
    # For a state of a few numbers, such as CartPole's.
    "mlp": Config(
        observation=(4,), actions=2, filters=(), kernels=(), strides=(), hidden=(256, 256)
    ),
    # Young and Tian 2019, section 3: one convolution; of the game Breakout.
    "minatar": Config(
        observation=(10, 10, 4),
        actions=6,
        filters=(16,),
        kernels=(3,),
        strides=(1,),
        hidden=(128,),
        highest=1.0,
    ),
    # Playing Atari with Deep Reinforcement Learning (2013), section 4.1; Breakout's 4 actions.
    "nips-2013": Config(filters=(16, 32), kernels=(8, 4), strides=(4, 2), hidden=(256,)),
    # Methods, "Model architecture"; Breakout's 4 actions.
    "nature": Config(),
}


def _uniform(inputs: int) -> keras.initializers.Initializer:
    """Within 1 / sqrt(inputs of a unit), as Torch begins weights and biases alike."""
    return keras.initializers.RandomUniform(-(inputs**-0.5), inputs**-0.5)


def build(config: Config) -> keras.Model:
    """States, uint8 [B, H, W, C] or float32 [B, D], as they are seen -> worths, float32 [B, A]."""
    kind = "uint8" if config.pixels else "float32"
    seen = keras.Input(config.observation, dtype=kind, name="observations")
    x, fan = seen, config.observation[-1]
    if config.pixels:
        x = keras.layers.Rescaling(1 / config.highest, name="scale")(x)
    shapes = zip(config.filters, config.kernels, config.strides, strict=True)
    for i, (filters, kernel, stride) in enumerate(shapes):
        begin = [_uniform(kernel * kernel * fan) for _ in range(2)]
        x = keras.layers.Conv2D(
            filters,
            kernel,
            stride,
            activation="relu",
            kernel_initializer=begin[0],
            bias_initializer=begin[1],
            name=f"conv_{i}",
        )(x)
        fan = filters
    x = keras.layers.Flatten(name="row")(x)
    for i, units in enumerate((*config.hidden, config.actions)):
        last = i == len(config.hidden)
        begin = [_uniform(x.shape[-1]) for _ in range(2)]
        x = keras.layers.Dense(
            units,
            activation=None if last else "relu",
            kernel_initializer=begin[0],
            bias_initializer=begin[1],
            dtype="float32" if last else None,
            name="worths" if last else f"hidden_{i}",
        )(x)
    return keras.Model(seen, x, name="dqn")


def param_count(config: Config) -> int:
    """How many trainable parameters `build(config)` makes, without making them."""
    channels = (config.observation[-1], *config.filters)
    pairs = zip(itertools.pairwise(channels), config.kernels, strict=True)
    convolutions = sum((a * k * k + 1) * b for (a, b), k in pairs)
    sizes = [math.prod(_sides(config)[-1]) * channels[-1], *config.hidden, config.actions]
    return convolutions + sum((a + 1) * b for a, b in itertools.pairwise(sizes))


def _fits(observations: tf.Tensor, shape: tuple[int, ...]) -> list[tf.Operation]:
    """An assertion that every state has the shape; channels in front would give as many numbers."""
    sides = tf.strings.as_string(tf.shape(observations)[1:])
    given = tf.strings.reduce_join(sides, separator=" x ")
    allowed = " x ".join(map(str, shape))
    sentence = ["observations are of ", given, f" numbers each; they must be of {allowed}."]
    return must(given == allowed, tf.strings.join(sentence))


def endpoints(model: keras.Model, codec: Features) -> dict[str, Endpoint]:
    """`act`: states to what each action is worth, and to the one of most worth.

    `observations` are as the environment shows them, uint8 [B, H, W, C] or float32 [B, D].
    Those of another shape are refused.
    Answers `q_values` float32 [B, A], `action` int32 [B] and its `name` [B].
    """
    shape = model.input.shape[1:]
    pixels = model.input.dtype == "uint8"

    def act(observations: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies(_fits(observations, shape)):
            states = tf.reshape(observations, [-1, *shape])
        with tf.control_dependencies([] if pixels else rows.check_finite("observations", states)):
            worths = rows.together(lambda seen: model(seen, training=False), tf.identity(states))
        action = tf.argmax(worths, axis=-1, output_type=tf.int32)
        return {"q_values": worths, "action": action, "name": codec.label(action)}

    rng = np.random.default_rng(0)
    kind = tf.uint8 if pixels else tf.float32
    example = rng.integers(0, 2, (2, *shape)) if pixels else rng.normal(0, 0.1, (2, *shape))
    endpoint = Endpoint(
        function=act,
        inputs={"observations": tf.TensorSpec([None] * (1 + len(shape)), kind)},
        example={"observations": example.astype(kind.as_numpy_dtype)},
    )
    return {"serving_default": endpoint, "act": endpoint}
