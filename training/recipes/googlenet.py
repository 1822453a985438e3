"""How GoogLeNet is trained: SGD with momentum; weights are averaged (section 6)."""

import dataclasses
import pathlib
from collections.abc import Sequence

import keras

from kmodels import googlenet
from kmodels.core.codecs.images import Images
from training import classifiers
from training.config import ImageCodecChoice, Recipe
from training.evaluators import pictures
from training.loop import Evaluator
from training.optimization import SGD, Adam, Step
from training.prepared import Prepared

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
prepare = classifiers.prepare


def recipe(config: googlenet.Config) -> Recipe:
    """The rate falls by 4 % every 8 epochs as in the paper; a short run on a CPU for digits."""
    if config.size < 32:
        known = dataclasses.replace(config, classes=config.classes or 10)
        return classifiers.cpu(
            Adam(learning_rate=2e-3), parameters=googlenet.param_count(known), steps=800
        )
    return Recipe(
        data="cifar10",
        codec=ImageCodecChoice(short=256),
        learner="gradient",
        objective="classification",
        optimizer=SGD(learning_rate=0.01, momentum=0.9, weight_decay=2e-4, decay="all"),
        schedule=Step(boundaries=tuple(range(40_000, 300_000, 40_000)), factor=0.96),
        batch_size=256,
        steps=300_000,
        average_half_life=1_000_000,
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


def ask(codec: Images, config: googlenet.Config, published: pathlib.Path) -> str:
    """The first held-out picture."""
    return pictures.question(codec, published)
