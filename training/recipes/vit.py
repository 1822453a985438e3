"""How ViT is trained from nothing: AdamW with a strong decay, clipped (table 3)."""

import dataclasses
import pathlib
from collections.abc import Sequence

import keras

from kmodels import vit
from kmodels.core.codecs.images import Images
from training import classifiers
from training.config import ImageCodecChoice, Recipe
from training.evaluators import pictures
from training.loop import Evaluator
from training.optimization import AdamW, Cosine
from training.prepared import Prepared

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
prepare = classifiers.prepare


def recipe(config: vit.Config) -> Recipe:
    """300 epochs of ImageNet at batch 4,096 in the paper; a short run on a CPU for digits."""
    if config.size < 32:
        known = dataclasses.replace(config, classes=config.classes or 10)
        return classifiers.cpu(
            AdamW(learning_rate=1e-3, weight_decay=0.05, clip_norm=1.0),
            parameters=vit.param_count(known),
            steps=1500,
            xla=True,
        )
    return Recipe(
        data="cifar10",
        codec=ImageCodecChoice(short=256),
        learner="gradient",
        objective="classification",
        optimizer=AdamW(learning_rate=3e-3, weight_decay=0.3, clip_norm=1.0),
        schedule=Cosine(warmup_steps=10_000, final=0.0),
        batch_size=4096,
        steps=93_000,
        log_every=50,
        eval_every=1000,
        save_every=1000,
        eval_batches=79,
        watch="error",
        xla=True,
    )


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Which classes are confused, which mistakes are worst, what the first layer looks for."""
    return [*pictures.mistakes(model, prepared), pictures.filters(model, "patches")]


def ask(codec: Images, config: vit.Config, published: pathlib.Path) -> str:
    """The first held-out picture."""
    return pictures.question(codec, published)
