"""How AlexNet is trained: SGD with momentum, the rate cut to a tenth when it stalls (section 5)."""

from collections.abc import Sequence

import keras

from kmodels import alexnet
from training import classifiers
from training.config import Recipe
from training.evaluators import pictures
from training.loop import Evaluator
from training.optimization import SGD, Adam, Plateau
from training.prepared import Prepared

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
prepare = classifiers.prepare
ask = pictures.question


def recipe(config: alexnet.Config) -> Recipe:
    """Ninety epochs of ImageNet as in the paper; a short run on a CPU for digits."""
    if classifiers.is_small(config):
        return classifiers.cpu(alexnet.param_count, config, Adam(learning_rate=1e-3), steps=800)
    optimizer = SGD(learning_rate=0.01, momentum=0.9, weight_decay=5e-4, decay="all")
    return classifiers.published(
        optimizer, Plateau(factor=0.1, patience=5), batch_size=128, steps=850_000
    )


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Which classes are confused, which mistakes are worst, what the first layer looks for."""
    return pictures.of(model, prepared, first="conv_1")
