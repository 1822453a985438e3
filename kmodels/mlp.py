"""The multi-layer perceptron: units between input and output, taught by back-propagation.

Every layer weighs what the layer before it says, adds a bias and bends the result; the error at
the output is passed back through the weights, so each hidden unit learns what part it had in it.

What was new: hidden units that find out by themselves what is worth noticing. XOR, which no single
unit can do, takes two of them. Later the same network with batch normalisation between weights and
bend (Ioffe and Szegedy, 2015) trains faster and bears a larger learning rate.

Shapes: B batch, D inputs in all, K classes.
"""

import dataclasses
import itertools
import math
from typing import Literal

import keras

from kmodels.core import checks, classifying
from kmodels.core.codecs.features import Features
from kmodels.core.codecs.images import Images
from kmodels.core.normalisation import batch_norm
from kmodels.core.paper import Citation, Endpoint

PAPER = Citation(
    title="Learning Representations by Back-Propagating Errors",
    authors="Rumelhart, Hinton, Williams",
    year=1986,
    url="https://doi.org/10.1038/323533a0",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one network.

    Attributes:
        inputs: Shape of one example; pictures are taken as a row of numbers.
        hidden: Units of each hidden layer.
        classes: None takes the codec's when a run is resolved. Two classes share one unit.
        activation: How hidden units bend.
        batch_norm: Whether a layer is normalised before the bend; it then has no bias.
        statistics: Over what it is normalised: "replica", or "all" replicas together.
        dropout: Rate in [0, 1) on hidden layers.
    """

    inputs: tuple[int, ...] = (28, 28, 1)
    hidden: tuple[int, ...] = (512, 512)
    classes: int | None = 10
    activation: Literal["sigmoid", "tanh", "relu"] = "relu"
    batch_norm: bool = False
    statistics: Literal["replica", "all"] = "replica"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("inputs", "hidden"):
            if min(getattr(self, name), default=0) < 1:
                raise ValueError(
                    f"config.{name} is {getattr(self, name)}; it must hold numbers of at least 1."
                )
        if self.classes is not None and self.classes < 2:
            raise ValueError(f"config.classes is {self.classes}; it must be at least 2.")
        checks.rates(self, "dropout")
        checks.choices(self, "activation", "statistics")


PRESETS = {
    "tiny": Config(inputs=(4, 4, 1), hidden=(16,), classes=None, dropout=0.1),
    # Two hidden units and one output, all logistic: nine parameters.
    "xor": Config(inputs=(2,), hidden=(2,), classes=2, activation="sigmoid"),
    "digits": Config(inputs=(8, 8, 1), hidden=(256, 256), dropout=0.2),
    # Two layers of 512, without and with batch normalisation.
    "dnn": Config(),
    "dnn-bn": Config(batch_norm=True),
    "dnn-dropout": Config(dropout=0.5),
    # Batch Normalization, section 4.1: three layers of 100 sigmoids.
    "sigmoid": Config(hidden=(100, 100, 100), activation="sigmoid"),
    "sigmoid-bn": Config(hidden=(100, 100, 100), activation="sigmoid", batch_norm=True),
}


def _outputs(config: Config) -> int:
    """Output units: one where there are two classes, as many as classes otherwise."""
    classes = classifying.check_classes(config)
    return 1 if classes == 2 else classes


def build(config: Config) -> keras.Model:
    """float32 [B, *inputs] -> logits [B, K], or [B, 1] for two classes."""
    seen = keras.Input(config.inputs, name="inputs")
    x = keras.layers.Flatten(name="row")(seen)
    for i, units in enumerate(config.hidden):
        x = keras.layers.Dense(units, use_bias=not config.batch_norm, name=f"layer_{i}")(x)
        if config.batch_norm:
            x = batch_norm(config, f"norm_{i}")(x)
        x = keras.layers.Activation(config.activation, name=f"bend_{i}")(x)
        x = keras.layers.Dropout(config.dropout, name=f"dropout_{i}")(x)
    logits = keras.layers.Dense(_outputs(config), dtype="float32", name="logits")(x)
    return keras.Model(seen, logits, name="mlp")


def param_count(config: Config) -> int:
    """How many trainable parameters `build(config)` makes, without making them."""
    sizes = [math.prod(config.inputs), *config.hidden]
    beside = 2 if config.batch_norm else 1  # scale and shift, or a bias
    hidden = sum((a + beside) * b for a, b in itertools.pairwise(sizes))
    return hidden + (sizes[-1] + 1) * _outputs(config)


def endpoints(model: keras.Model, codec: Features | Images) -> dict[str, Endpoint]:
    """Of pictures those of `classifying`; of rows of numbers `classify`."""
    last = f"dropout_{sum(layer.name.startswith('layer_') for layer in model.layers) - 1}"
    if isinstance(codec, Images):
        return classifying.endpoints(model, codec, embedding=last, stages={"hidden": last})
    return classifying.by_features(
        lambda features: classifying.ranked(model(features, training=False), codec), codec
    )
