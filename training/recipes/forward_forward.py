"""How Forward-Forward is trained: each layer by its own goodness, against hard negatives."""

import dataclasses
import pathlib
from collections.abc import Sequence

from kmodels import forward_forward
from kmodels.core.codecs.images import Images
from training import classifiers, prepared
from training.config import ImageCodecChoice, Recipe
from training.data import changes
from training.evaluators import goodness, pictures
from training.loop import Evaluator
from training.optimization import SGD, HeldLinear
from training.prepared import Prepared

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
ask = pictures.question

PAGES = ImageCodecChoice(mean=(0.0,), deviation=(255.0,))  # pixels in [0, 1], as a label is


def paper(config: forward_forward.Config) -> Recipe:
    """The published code's: batches of 100, 60 epochs of MNIST (100 without labels).

    Its rate is 0.01 over a gradient smoothed by 0.9 of the old and 0.1 of the new one, and stays
    for half of the epochs before it falls to 0 on a line. A velocity that adds up whole gradients
    is ten times as long, so the rate here is 0.001. The decay of 0.001 is smoothed here too.
    """
    small = config.size < 28
    epochs = 100 if config.label == "none" else 60
    return Recipe(
        data="digits" if small else "mnist",
        codec=PAGES,
        learner="layer_local",
        objective="goodness",
        optimizer=SGD(learning_rate=1e-3, momentum=0.9, weight_decay=1e-3),
        schedule=HeldLinear(),
        batch_size=100,
        steps=600 * epochs,
        log_every=100,
        eval_every=3000,
        save_every=3000,
        eval_batches=4 if small else 100,
        watch="error",
        origin="paper",
    )


def recipe(config: forward_forward.Config) -> Recipe:
    """Not the paper's length: a minute for small pictures, 40 epochs of MNIST at twice the rate.

    Those 40 take three layers of 1000 less than an hour on two cores.
    """
    large = config.size >= 28
    tiny = not large and sum(config.hidden) < 100
    return dataclasses.replace(
        paper(config),
        optimizer=SGD(learning_rate=2e-3 if large else 3e-3, momentum=0.9, weight_decay=1e-3),
        batch_size=100 if large else 8 if tiny else 50,
        steps=24_000 if large else 40 if tiny else 6000,
        log_every=100 if large else 10 if tiny else 100,
        eval_every=3000 if large else 20 if tiny else 1000,
        save_every=3000 if large else 20 if tiny else 1000,
        eval_batches=100 if large else 45 if tiny else 8,
        origin="cpu",
    )


PROFILES = {"paper": paper, "cpu": recipe}


def prepare(
    config: forward_forward.Config,
    recipe: Recipe,
    data_dir: pathlib.Path | None,
    *,
    codec: Images | None = None,
) -> Prepared:
    """Pictures of the config's size, as they are; of the embedded digits, which are few, shifted.

    Raises:
        UserError: the data do not fit the config.
    """
    source = prepared.read(recipe, data_dir, DATA)
    return prepared.pictures(
        config,
        recipe,
        source,
        codec=codec,
        changes=[changes.moved(1)] if recipe.data == "digits" else [],
    )


def evaluators(model: forward_forward.ForwardForward, prepared: Prepared) -> Sequence[Evaluator]:
    """The goodness of real and made-up examples, and what the softmax gets wrong."""
    return [goodness.histograms(model, prepared), *pictures.mistakes(model, prepared)]
