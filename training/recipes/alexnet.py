"""How AlexNet is trained: SGD with momentum, the rate cut to a tenth when it stalls (section 5)."""

import dataclasses
import pathlib
from collections.abc import Sequence

import keras

from kmodels import alexnet
from kmodels.core.codecs.images import Images
from training import classifiers
from training.config import ImageCodecChoice, Recipe
from training.evaluators import pictures
from training.loop import Evaluator
from training.optimization import SGD, Adam, Plateau
from training.prepared import Prepared

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
prepare = classifiers.prepare


def recipe(config: alexnet.Config) -> Recipe:
    """Ninety epochs of ImageNet as in the paper; a short run on a CPU for digits."""
    if config.size < 32:
        known = dataclasses.replace(config, classes=config.classes or 10)
        return classifiers.cpu(
            Adam(learning_rate=1e-3), parameters=alexnet.param_count(known), steps=800
        )
    return Recipe(
        data="cifar10",
        codec=ImageCodecChoice(short=256),
        learner="gradient",
        objective="classification",
        optimizer=SGD(learning_rate=0.01, momentum=0.9, weight_decay=5e-4, decay="all"),
        schedule=Plateau(factor=0.1, patience=5),
        batch_size=128,
        steps=850_000,
        log_every=50,
        eval_every=1000,
        save_every=1000,
        eval_batches=79,
        watch="error",
        xla=False,
    )


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Which classes are confused, which mistakes are worst, what the first layer looks for."""
    return [*pictures.mistakes(model, prepared), pictures.filters(model, "conv_1")]


def ask(codec: Images, config: alexnet.Config, published: pathlib.Path) -> str:
    """The first held-out picture."""
    return pictures.question(codec, published)
