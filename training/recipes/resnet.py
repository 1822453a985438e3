"""How ResNets are trained: SGD with momentum, the rate cut to a tenth twice (section 4.2)."""

from collections.abc import Sequence

import keras

from kmodels import resnet
from training import classifiers
from training.config import Recipe
from training.evaluators import pictures
from training.loop import Evaluator
from training.optimization import SGD, Step
from training.prepared import Prepared

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
prepare = classifiers.prepare
ask = pictures.question


def recipe(config: resnet.Config) -> Recipe:
    """The paper's for CIFAR and ImageNet; a short one on a CPU for digits."""
    optimizer = SGD(learning_rate=0.1, momentum=0.9, weight_decay=1e-4, decay="all")
    if classifiers.is_small(config):
        return classifiers.cpu(resnet.param_count, config, optimizer, steps=800)
    if config.stem == "imagenet":
        cuts = Step(boundaries=(300_000, 450_000))
        return classifiers.published(optimizer, cuts, batch_size=256, steps=600_000)
    cuts = Step(boundaries=(32_000, 48_000))
    return classifiers.published(optimizer, cuts, batch_size=128, steps=64_000, short=None)


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Which classes are confused, which mistakes are worst, what the first layer looks for."""
    return pictures.of(model, prepared, first="stem")
