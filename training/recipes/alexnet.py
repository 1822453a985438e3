"""How AlexNet is trained: SGD with momentum, the rate cut to a tenth when it stalls (section 5)."""

import functools
from collections.abc import Sequence

from kmodels import alexnet
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
evaluators = functools.partial(pictures.of, first="conv_1")


def photographs(config: alexnet.Config, source: Source) -> tuple[Each, Sequence[Change]]:
    """Any 224 x 224 of the centre of 256 x 256, mirrored, colour noise (sections 2 and 4.1)."""
    cut = crops.centred(config.size, short=classifiers.scaled(config, 256))
    return cut, classifiers.coloured(config, source)


prepare = functools.partial(classifiers.prepare, photographs=photographs)


def paper(config: alexnet.Config) -> Recipe:
    """Section 5: batches of 128, momentum 0.9, decay 0.0005, rate 0.01, about ninety epochs.

    The rate is divided by 10 "when the validation error rate stopped improving"; how long to wait
    for that, five evaluations here, the paper does not say. Ninety epochs of its 1.2 million
    pictures are 850,000 steps.
    """
    optimizer = SGD(learning_rate=0.01, momentum=0.9, weight_decay=5e-4, decay="all")
    stalls = Plateau(factor=0.1, patience=5)
    return classifiers.published(config, optimizer, stalls, batch_size=128, steps=850_000)


def cpu(config: alexnet.Config) -> Recipe:
    """Not the paper's: Adam for a short while."""
    return classifiers.cpu(alexnet.param_count, config, Adam(learning_rate=1e-3), steps=800)


recipe = classifiers.suits(paper, cpu)
PROFILES = {"paper": paper, "cpu": cpu}
