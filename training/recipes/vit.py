"""How ViT is trained: AdamW from nothing, SGD for fine-tuning, both clipped (tables 3 and 4)."""

import functools
from collections.abc import Sequence

from kmodels import vit
from training import classifiers
from training.config import Recipe
from training.data import changes, crops
from training.data.labelled import Change, Each, Source
from training.evaluators import pictures
from training.optimization import SGD, AdamW, Cosine

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
ask = pictures.question
evaluators = functools.partial(pictures.of, first="patches")


def photographs(config: vit.Config, source: Source) -> tuple[Each, Sequence[Change]]:
    """Inception's crops, mirrored, as in the paper's own code."""
    return crops.inception(config.size), [changes.mirrored()]


prepare = functools.partial(classifiers.prepare, photographs=photographs)


def paper(config: vit.Config) -> Recipe:
    """Section 4.1 and table 3, ImageNet from nothing: batches of 4,096, 300 epochs.

    The rate is 0.003 after 10,000 steps of rise, then a cosine; decay 0.3, clipped at 1.
    """
    return classifiers.published(
        config,
        AdamW(learning_rate=3e-3, weight_decay=0.3, clip_norm=1.0),
        Cosine(warmup_steps=10_000, final=0.0),
        batch_size=4096,
        steps=93_000,
        xla=True,
    )


def augmented(config: vit.Config) -> Recipe:
    """Beyer et al. 2022, "Better plain ViT baselines for ImageNet-1k": 90 epochs of 1,024.

    What stands in for a larger set of pictures: RandAugment of two operations at magnitude 10, and
    mixup at 0.2. The rate is 0.001 after 10,000 steps of rise, then a cosine; decay 0.0001.
    """
    return classifiers.published(
        config,
        AdamW(learning_rate=1e-3, weight_decay=1e-4, clip_norm=1.0),
        Cosine(warmup_steps=10_000, final=0.0),
        batch_size=1024,
        steps=112_600,
        mixup=0.2,
        randaugment=(2, 10),
        xla=True,
    )


def fine_tune(config: vit.Config) -> Recipe:
    """Section 4.1 and table 4, from weights that `--init-from` names: batches of 512, no decay.

    Momentum 0.9, clipped at 1, a cosine over 10,000 steps for CIFAR-10; for ImageNet the paper
    takes 20,000. It tries rates up to 0.03 for CIFAR-10; that, and 500 steps of rise, are what the
    published code begins with.
    """
    return classifiers.published(
        config,
        SGD(learning_rate=0.03, momentum=0.9, clip_norm=1.0),
        Cosine(warmup_steps=500, final=0.0),
        batch_size=512,
        steps=10_000,
        xla=True,
    )


def cpu(config: vit.Config) -> Recipe:
    """Not the paper's: its optimizer, gentler, for a short while."""
    gentle = AdamW(learning_rate=1e-3, weight_decay=0.05, clip_norm=1.0)
    return classifiers.cpu(vit.param_count, config, gentle, steps=1500, xla=True)


recipe = classifiers.suits(paper, cpu)
PROFILES = {"paper": paper, "augmented": augmented, "fine-tune": fine_tune, "cpu": cpu}
