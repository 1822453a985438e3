"""How puzzles are learnt: SGD in the paper, Adam for a short while here; no label is looked at."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

from kmodels import jigsaw
from kmodels.core.codecs.images import Images
from training import classifiers, prepared
from training.config import ImageCodecChoice, Recipe, UserError
from training.evaluators import neighbours, pictures, puzzles
from training.loop import Evaluator
from training.optimization import SGD, Adam, Cosine, Step
from training.prepared import Prepared

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"


def paper(config: jigsaw.Config) -> Recipe:
    """350,000 steps of 256, rate 0.01, a tenth of it after each 100,000, momentum 0.9, decay 5e-4.

    As in the published program biases learn twice as fast and do not decay. Of photographs the
    central square is taken, resized to the config's size. Pictures of other data have the same
    schedule.
    """
    photographs = config.size >= classifiers.LARGE
    small = classifiers.is_small(config)
    return Recipe(
        data="image_folder" if photographs else "digits" if small else "cifar10",
        codec=ImageCodecChoice(short=config.size if photographs else None),
        learner="gradient",
        objective="permutation",
        optimizer=SGD(learning_rate=0.01, momentum=0.9, weight_decay=5e-4, bias_rate=2.0),
        schedule=Step(boundaries=(100_000, 200_000, 300_000), factor=0.1),
        batch_size=256,
        steps=350_000,
        log_every=50,
        eval_every=1000,
        save_every=1000,
        eval_batches=2 if small else 40,
        watch="error",
        xla=False,
        origin="paper",
    )


def cpu(config: jigsaw.Config) -> Recipe:
    """Digits in minutes on two cores, CIFAR-10 in less than an hour.

    Networks for photographs take twenty steps, which show that they train.
    """
    tiny = jigsaw.param_count(config) < classifiers.TINY
    large = config.size >= classifiers.LARGE
    every = 20 if tiny else 10 if large else 500
    return dataclasses.replace(
        paper(config),
        data="digits" if large else paper(config).data,
        codec=ImageCodecChoice(),
        optimizer=Adam(learning_rate=1e-2 if tiny else 1e-4 if large else 2e-3),
        schedule=Cosine(warmup_steps=10, final=0.0),
        batch_size=8 if tiny else 4 if large else 64,
        steps=40 if tiny else 20 if large else 2000,
        log_every=10 if tiny else 5 if large else 50,
        eval_every=every,
        save_every=every,
        eval_batches=2 if large else 45 if tiny else 6 if classifiers.is_small(config) else 40,
        origin="cpu",
    )


def recipe(config: jigsaw.Config) -> Recipe:
    """The paper's for photographs, a short one for small pictures."""
    return paper(config) if config.size >= classifiers.LARGE else cpu(config)


PROFILES = {"paper": paper, "cpu": cpu}


def prepare(
    config: jigsaw.Config,
    recipe: Recipe,
    data_dir: pathlib.Path | None,
    *,
    codec: Images | None = None,
) -> Prepared:
    """Whole pictures of the config's size, as they are: what is random is drawn for the batch.

    Raises:
        UserError: the data do not fit the config, or pictures are to be changed by their place.
    """
    mean = (codec or recipe.codec).mean  # type: ignore[union-attr]
    if mean is not None and len(mean) > config.channels:
        raise UserError(
            f"codec.mean has {len(mean):,} numbers; tiles lie anywhere, so there must be one, or "
            "one for each channel."
        )
    return prepared.pictures(config, recipe, prepared.read(recipe, data_dir, DATA), codec=codec)


def evaluators(model: jigsaw.CFN, prepared: Prepared) -> Sequence[Evaluator]:
    """Puzzles as it lays them, and what the tower knows of classes, of which it is told nothing."""
    embed = functools.partial(jigsaw.embedded, model)
    return [puzzles.make(model, prepared), neighbours.make(embed, prepared)]


def ask(codec: Images, config: jigsaw.Config, published: pathlib.Path) -> str:
    """A picture's features; tiles are nine files a row, which a shell cannot name."""
    return f"--signature=embed {pictures.question(codec, config, published)}"
