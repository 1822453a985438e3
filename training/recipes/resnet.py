"""How ResNets are trained: SGD with momentum, the rate cut to a tenth twice (section 4.2)."""

import pathlib
from collections.abc import Sequence

import keras

from kmodels import resnet
from kmodels.core.codecs.images import Images
from training import classifiers
from training.config import ImageCodecChoice, Recipe
from training.evaluators import pictures
from training.loop import Evaluator
from training.optimization import SGD, Step
from training.prepared import Prepared

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
prepare = classifiers.prepare


def recipe(config: resnet.Config) -> Recipe:
    """The paper's for CIFAR and ImageNet; a short one on a CPU for digits."""
    optimizer = SGD(learning_rate=0.1, momentum=0.9, weight_decay=1e-4, decay="all")
    if config.size < 32:
        count = resnet.param_count(
            resnet.Config(**{**vars(config), "classes": config.classes or 10})
        )
        return classifiers.cpu(optimizer, parameters=count, steps=800)
    imagenet = config.stem == "imagenet"
    return Recipe(
        data="cifar10",
        codec=ImageCodecChoice(short=256 if imagenet else None),
        learner="gradient",
        objective="classification",
        optimizer=optimizer,
        schedule=Step(boundaries=(300_000, 450_000) if imagenet else (32_000, 48_000)),
        batch_size=256 if imagenet else 128,
        steps=600_000 if imagenet else 64_000,
        log_every=50,
        eval_every=1000,
        save_every=1000,
        eval_batches=79,
        watch="error",
        xla=False,
    )


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Which classes are confused, which mistakes are worst, what the first layer looks for."""
    return [*pictures.mistakes(model, prepared), pictures.filters(model, "stem")]


def ask(codec: Images, config: resnet.Config, published: pathlib.Path) -> str:
    """The first held-out picture."""
    return pictures.question(codec, published)
