"""The perceptron: one unit that adds up what it sees, fires or not, and learns from its errors.

Each unit weighs its inputs, adds a bias and fires where the sum is not below zero. When it fired
and should not have, the inputs are taken from its weights; when it should have, they are added.
If any weights solve the task, this rule finds some after finitely many errors: at most (R/g)**2
of them, where R is the length of the longest input (with a 1 for the bias) and g the margin of
the best unit-length weights (Novikoff, 1962).

What was new: a machine that is shown what to do instead of being told how. What it cannot do is
XOR: no line separates its two classes (Minsky and Papert, 1969), and the rule goes round in a
circle for ever. `mlp` can.

Departures. Rosenblatt's perceptron had a layer of fixed random units before the one that learns;
here the inputs are given. Several units learn side by side and know nothing of each other.

Shapes: B batch, D inputs, U units.
"""

import dataclasses

import keras
import tensorflow as tf

from kmodels.core import checks, classifying
from kmodels.core.codecs.features import Features
from kmodels.core.paper import Citation, Endpoint

PAPER = Citation(
    title="The Perceptron: A Probabilistic Model for Information Storage and Organization in the "
    "Brain",
    authors="Rosenblatt",
    year=1958,
    url="https://doi.org/10.1037/h0042519",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of a layer of perceptrons.

    Attributes:
        inputs: Numbers that a unit sees.
        units: Units side by side, each with a yes-or-no question of its own.
    """

    inputs: int = 2
    units: int = 3

    def __post_init__(self) -> None:
        checks.at_least_one(self, "inputs", "units")


PRESETS = {
    "tiny": Config(),
    # One unit for each of AND, OR and XOR, of the same two inputs.
    "gates": Config(),
}


def build(config: Config) -> keras.Model:
    """float32 features [B, D] -> sums [B, U]; a unit fires where its sum is at least 0."""
    features = keras.Input((config.inputs,), name="features")
    sums = keras.layers.Dense(
        config.units, kernel_initializer=keras.initializers.RandomUniform(-1, 1), name="units"
    )(features)
    return keras.Model(features, sums, name="perceptron")


def param_count(config: Config) -> int:
    """How many parameters `build(config)` makes, without making them."""
    return config.units * (config.inputs + 1)


def fires(sums: tf.Tensor) -> tf.Tensor:
    """The threshold: sums [...] -> bool [...]."""
    return sums >= 0


def endpoints(model: keras.Model, codec: Features) -> dict[str, Endpoint]:
    """`classify`: features to what each unit says, int32 [B, U], and its sum."""

    def answer(features: tf.Tensor) -> dict[str, tf.Tensor]:
        sums = model(features, training=False)
        return {"fires": tf.cast(fires(sums), tf.int32), "sums": sums}

    return classifying.by_features(answer, codec)
