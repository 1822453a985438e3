"""How ResNets are trained: SGD with momentum, the rate cut to a tenth (sections 3.4 and 4.2)."""

import dataclasses
import functools
from collections.abc import Sequence

from kmodels import resnet
from training import classifiers
from training.config import Recipe
from training.data import changes, crops
from training.data.labelled import Change, Each, Source
from training.evaluators import pictures
from training.optimization import SGD, Plateau, Step

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
ask = pictures.question
evaluators = functools.partial(pictures.of, first="stem")


OPTIMIZER = SGD(learning_rate=0.1, momentum=0.9, weight_decay=1e-4, decay="all")


def photographs(config: resnet.Config, source: Source) -> tuple[Each | None, Sequence[Change]]:
    """Of a short side of 256 to 480 any 224 x 224, mirrored, colour noise (section 3.4).

    CIFAR's networks see pictures padded by an eighth, cut to their size and mirrored (4.2).
    """
    if config.stem != "imagenet":
        return None, [changes.moved(config.size // 8), changes.mirrored()]
    shorts = classifiers.scaled(config, 256), classifiers.scaled(config, 480)
    return crops.jittered(config.size, shorts=shorts), classifiers.coloured(config, source)


prepare = functools.partial(classifiers.prepare, photographs=photographs)


def recipe(config: resnet.Config) -> Recipe:
    """The paper's, or for small pictures a short one on a CPU.

    The rate falls at fixed steps, also for ImageNet, and never rises first.
    """
    if classifiers.is_small(config):
        return cpu(config)
    made = paper(config)
    cuts = Step(boundaries=(300_000, 450_000)) if config.stem == "imagenet" else Step()
    return made if made.schedule == cuts else _with(made, cuts)


def _with(made: Recipe, cuts: Step) -> Recipe:
    return dataclasses.replace(made, schedule=cuts, origin="own")


def paper(config: resnet.Config) -> Recipe:
    """Section 3.4 for ImageNet, 4.2 for CIFAR-10: momentum 0.9, decay 0.0001, rate 0.1.

    ImageNet: batches of 256, "up to" 600,000 steps, the rate divided by 10 "when the error
    plateaus"; how long to wait, twenty evaluations here, the paper does not say. CIFAR-10: batches
    of 128, 64,000 steps, divided at 32,000 and 48,000. With 110 layers the paper begins at 0.01
    until the training error is below 80 %, "about 400 iterations"; here the rate rises on a line
    over 400 steps.
    """
    if config.stem == "imagenet":
        stalls = Plateau(factor=0.1, patience=20)
        return classifiers.published(config, OPTIMIZER, stalls, batch_size=256, steps=600_000)
    deep = sum(config.depths) * 2 + 2 >= 110
    cuts = Step(boundaries=(32_000, 48_000), warmup_steps=400 if deep else 0)
    return classifiers.published(
        config, OPTIMIZER, cuts, batch_size=128, steps=64_000, data="cifar10"
    )


def cpu(config: resnet.Config) -> Recipe:
    """Not the paper's: its optimizer for a short while."""
    return classifiers.cpu(resnet.param_count, config, OPTIMIZER, steps=800)


PROFILES = {"paper": paper, "cpu": cpu}
