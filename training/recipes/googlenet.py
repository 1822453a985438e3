"""How GoogLeNet is trained: SGD with momentum; weights are averaged (section 6)."""

import functools
from collections.abc import Sequence

from kmodels import googlenet
from training import classifiers
from training.config import Recipe
from training.data import changes, crops
from training.data.labelled import Change, Each, Source
from training.evaluators import pictures
from training.optimization import SGD, Adam, Step

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
ask = pictures.question
evaluators = functools.partial(pictures.of, first="conv_1")


def photographs(config: googlenet.Config, source: Source) -> tuple[Each, Sequence[Change]]:
    """Parts of 8 to 100 % of the area, mirrored (section 6)."""
    return crops.inception(config.size), [changes.mirrored()]


prepare = functools.partial(classifiers.prepare, photographs=photographs)


def paper(config: googlenet.Config) -> Recipe:
    """Section 6: momentum 0.9, the rate 4 % lower every 8 epochs, Polyak averaging of the weights.

    Eight epochs are 40,000 steps of 256. The paper gives no batch, rate, decay or length; decay
    and sixty epochs are those of Caffe's GoogLeNet, and the paper's workers went their own ways
    where ours go together. The average forgets, with a half-life of a million pictures.
    """
    optimizer = SGD(learning_rate=0.01, momentum=0.9, weight_decay=2e-4, decay="all")
    falls = Step(boundaries=tuple(range(40_000, 300_000, 40_000)), factor=0.96)
    return classifiers.published(
        config, optimizer, falls, batch_size=256, steps=300_000, average_half_life=1_000_000
    )


def cpu(config: googlenet.Config) -> Recipe:
    """Not the paper's: Adam for a short while."""
    return classifiers.cpu(googlenet.param_count, config, Adam(learning_rate=2e-3), steps=800)


recipe = classifiers.suits(paper, cpu)
PROFILES = {"paper": paper, "cpu": cpu}
