"""How ViT is trained from nothing: AdamW with a strong decay, clipped (table 3)."""

from collections.abc import Sequence

import keras

from kmodels import vit
from training import classifiers
from training.config import Recipe
from training.evaluators import pictures
from training.loop import Evaluator
from training.optimization import AdamW, Cosine
from training.prepared import Prepared

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
prepare = classifiers.prepare
ask = pictures.question


def recipe(config: vit.Config) -> Recipe:
    """300 epochs of ImageNet at batch 4,096 in the paper; a short run on a CPU for digits."""
    if classifiers.is_small(config):
        gentle = AdamW(learning_rate=1e-3, weight_decay=0.05, clip_norm=1.0)
        return classifiers.cpu(vit.param_count, config, gentle, steps=1500, xla=True)
    return classifiers.published(
        AdamW(learning_rate=3e-3, weight_decay=0.3, clip_norm=1.0),
        Cosine(warmup_steps=10_000, final=0.0),
        batch_size=4096,
        steps=93_000,
        xla=True,
    )


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Which classes are confused, which mistakes are worst, what the first layer looks for."""
    return pictures.of(model, prepared, first="patches")
