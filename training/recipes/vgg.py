"""How VGG is trained: SGD with momentum, the rate cut to a tenth when it stalls (section 3.1)."""

import functools
from collections.abc import Sequence

from kmodels import vgg
from training import classifiers
from training.config import Recipe
from training.data import crops
from training.data.labelled import Change, Each, Source
from training.evaluators import pictures
from training.optimization import SGD, Adam, Plateau

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
ask = pictures.question
evaluators = functools.partial(pictures.of, first="stage_1_conv_1")


def photographs(config: vgg.Config, source: Source) -> tuple[Each, Sequence[Change]]:
    """Of a short side of 256 to 512 any 224 x 224, mirrored, AlexNet's colour noise (3.1)."""
    shorts = classifiers.scaled(config, 256), classifiers.scaled(config, 512)
    return crops.jittered(config.size, shorts=shorts), classifiers.coloured(config, source)


prepare = functools.partial(classifiers.prepare, photographs=photographs)


def paper(config: vgg.Config) -> Recipe:
    """Section 3.1: batches of 256, momentum 0.9, decay 0.0005, rate 0.01, 74 epochs.

    They are the paper's 370,000 steps. The rate is divided by 10 "when the validation set accuracy
    stopped improving", which happened three times; how long to wait for that, five evaluations
    here, the paper does not say.
    """
    optimizer = SGD(learning_rate=0.01, momentum=0.9, weight_decay=5e-4, decay="all")
    stalls = Plateau(factor=0.1, patience=5)
    return classifiers.published(config, optimizer, stalls, batch_size=256, steps=370_000)


def cpu(config: vgg.Config) -> Recipe:
    """Not the paper's: Adam for a short while."""
    return classifiers.cpu(vgg.param_count, config, Adam(learning_rate=1e-3), steps=800)


recipe = classifiers.suits(paper, cpu)
PROFILES = {"paper": paper, "cpu": cpu}
