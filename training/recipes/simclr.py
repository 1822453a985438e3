"""How SimCLR learns: two views of each picture, LARS, a cosine after ten epochs of rise."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

from kmodels import simclr
from kmodels.core.codecs.images import Images
from training import classifiers, prepared
from training.config import ImageCodecChoice, Recipe, UserError
from training.data import distortions
from training.evaluators import neighbours, pictures
from training.loop import Evaluator
from training.optimization import LARS, Cosine
from training.prepared import Prepared

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
ask = pictures.question

IMAGENET, CIFAR = 1_281_167, 50_000  # training pictures


def paper(config: simclr.Config) -> Recipe:
    """Section 2.2 and appendix B.9: LARS, rate 0.3 for each 256 pictures, decay 1e-6.

    ImageNet: 4,096 pictures a step, 100 epochs (the paper goes up to 1,000), ten of rise, colours
    at full strength. CIFAR-10: 512 pictures, 1,000 epochs, half the strength; rate 1, decay 1e-4.
    Features are to be judged afterwards, with `--init-from` and a classifier's `--freeze`.
    """
    if config.stem == "imagenet":
        return _published(config, pictures=IMAGENET, epochs=100, batch_size=4096, strength=1.0)
    return dataclasses.replace(
        _published(config, pictures=CIFAR, epochs=1000, batch_size=512, strength=0.5),
        data="digits" if classifiers.is_small(config) else "cifar10",
        optimizer=LARS(learning_rate=1.0, weight_decay=1e-4),
    )


def _published(
    config: simclr.Config, *, pictures: int, epochs: int, batch_size: int, strength: float
) -> Recipe:
    epoch = pictures / batch_size
    return dataclasses.replace(
        cpu(config),
        data="image_folder",
        optimizer=LARS(learning_rate=0.3 * batch_size / 256, weight_decay=1e-6),
        schedule=Cosine(warmup_steps=round(10 * epoch), final=0.0),
        batch_size=batch_size,
        steps=round(epochs * epoch),
        log_every=50,
        eval_every=1000,
        save_every=1000,
        colour_strength=strength,
        origin="paper",
    )


def cpu(config: simclr.Config) -> Recipe:
    """A short run on two cores; the rate is the paper's for small batches, 0.075 of the root.

    Small batches learn too (section 5.1 and figure 9), only more slowly. Networks for photographs
    take twenty steps, which show that they train.
    """
    small, tiny = classifiers.is_small(config), simclr.param_count(config) < classifiers.TINY
    large = config.size >= classifiers.LARGE
    batch_size = 8 if tiny else 4 if large else 64
    steps = 40 if tiny else 20 if large else 1500 if small else 2000
    every = steps // 2 if tiny or large else 250
    return Recipe(
        data="digits" if small or large else "cifar10",
        codec=ImageCodecChoice(mean=(0.0,), deviation=(255.0,)),
        learner="gradient",
        objective="contrastive",
        optimizer=LARS(learning_rate=0.075 * batch_size**0.5, weight_decay=1e-6),
        schedule=Cosine(warmup_steps=steps // 10, final=0.0),
        batch_size=batch_size,
        steps=steps,
        log_every=5 if large else 10 if tiny else 25,
        eval_every=every,
        save_every=every,
        eval_batches=2 if large else 5,
        watch="loss",
        xla=False,
        colour_strength=0.5,
        origin="cpu",
    )


def recipe(config: simclr.Config) -> Recipe:
    """The paper's for photographs, a short one for small pictures."""
    return paper(config) if config.size >= classifiers.LARGE else cpu(config)


PROFILES = {"paper": paper, "cpu": cpu}


def prepare(
    config: simclr.Config,
    recipe: Recipe,
    data_dir: pathlib.Path | None,
    *,
    codec: Images | None = None,
) -> Prepared:
    """Two views of every picture; written ones are not mirrored, small ones not blurred.

    Of pictures with a side below 32 a view shows 40 % at least: the paper's 8 % are two pixels.

    Raises:
        UserError: the data do not fit the config, or the objective compares no views.
    """
    if recipe.randaugment is not None:
        raise UserError("randaugment is for classifiers; simclr has --colour-strength.")
    view = distortions.view(
        config.size,
        strength=recipe.colour_strength,
        least=0.4 if classifiers.is_small(config) else 0.08,
        mirror=recipe.data not in classifiers.WRITTEN,
        blur=config.size >= classifiers.LARGE,
    )
    source = prepared.read(recipe, data_dir, DATA)
    return prepared.pictures(
        config,
        recipe,
        source,
        codec=codec,
        cut=view,
        views=2,
    )


def evaluators(model: simclr.SimCLR, prepared: Prepared) -> Sequence[Evaluator]:
    """What the features know of the classes, of which training is told nothing."""
    return [neighbours.make(functools.partial(model.encoder, training=False), prepared)]
