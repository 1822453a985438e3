"""How DCGANs are trained: Adam at 0.0002 with beta_1 = 0.5, batches of 128 (section 4)."""

import dataclasses
import pathlib
from collections.abc import Sequence

import keras

from kmodels import dcgan, gan
from kmodels.core.codecs.images import Images
from training import classifiers, prepared
from training.config import ImageCodecChoice, Origin, Recipe
from training.evaluators import generated, likeness
from training.loop import Evaluator
from training.optimization import Adam, Constant
from training.prepared import Prepared
from training.recipes.gan import RANGES, ask, check_range

__all__ = ["DATA", "PRESET", "PROFILES", "UNIT", "ask", "evaluators", "prepare", "recipe"]

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
BEDROOMS = 3_033_042  # pictures of LSUN that the paper trains on
RULE = Adam(learning_rate=2e-4, beta_1=0.5)


def paper(config: dcgan.Config) -> Recipe:
    """Section 4, for the five epochs of bedrooms that figure 3 shows.

    Nothing is averaged: averaged weights would need batch statistics of their own. The L2 penalty
    of 1e-5 in the authors' program is not in the paper, nor here.
    """
    small, large = classifiers.is_small(config), config.size >= classifiers.LARGE
    return _recipe(
        data="digits" if small else "image_folder" if large else "cifar10",
        short=config.size * 9 // 8 if large else None,
        batch_size=128,
        steps=5 * BEDROOMS // 128,
        every=1000,
        eval_batches=3 if small else 20,
        origin="paper",
    )


def cpu(config: dcgan.Config) -> Recipe:
    """A minute or two for small pictures, the generator at ten times the paper's rate.

    Fréchet's distance tells why: nearly all of it is contrast, for real pictures at 0.85 of theirs
    are as far away as made ones. The narrow generator takes long to reach black and white; and a
    discriminator at the paper's rate, here at half of it, is soon sure of 1,437 pictures, after
    which contrast falls again. The watched energy distance takes the best checkpoint. Larger
    pictures take twenty steps, to show that they train.
    """
    if not classifiers.is_small(config):
        return _recipe(batch_size=4, steps=20, every=10, eval_batches=2, log_every=5)
    if dcgan.param_count(config) < classifiers.TINY:
        return _recipe(batch_size=8, steps=40, every=20, eval_batches=45, log_every=10)
    made = _recipe(batch_size=64, steps=1000, every=250, eval_batches=6)
    return dataclasses.replace(
        made,
        optimizer=dataclasses.replace(RULE, learning_rate=2e-3),
        discriminator_optimizer=dataclasses.replace(RULE, learning_rate=1e-4),
    )


def _recipe(
    *,
    data: str = "digits",
    short: int | None = None,
    batch_size: int,
    steps: int,
    every: int,
    eval_batches: int,
    log_every: int = 50,
    origin: Origin = "cpu",
) -> Recipe:
    """What both profiles share; `every` so many steps the run is evaluated and saved."""
    mean, deviation = RANGES["tanh"]
    return Recipe(
        data=data,
        codec=ImageCodecChoice(short=short, mean=(mean,), deviation=(deviation,)),
        learner="adversarial",
        objective="non_saturating",
        optimizer=RULE,
        discriminator_optimizer=RULE,
        schedule=Constant(),
        batch_size=batch_size,
        steps=steps,
        log_every=log_every,
        eval_every=every,
        save_every=every,
        eval_batches=eval_batches,
        watch="energy_distance",
        xla=False,
        origin=origin,
    )


PROFILES = {"paper": paper, "cpu": cpu}
recipe = classifiers.suits(paper, cpu)


def prepare(
    config: dcgan.Config,
    recipe: Recipe,
    data_dir: pathlib.Path | None,
    *,
    codec: Images | None = None,
) -> Prepared:
    """Pictures of the config's size, from -1 to 1, as they are (section 4).

    Raises:
        UserError: the data do not fit the config.
    """
    made = prepared.pictures(
        config,
        recipe,
        prepared.read(recipe, data_dir, DATA),
        codec=codec,
    )
    check_range(made.codec, "tanh")
    return made


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Pictures of fixed seeds, and how like real ones they are."""
    generate = gan.endpoints(model, prepared.codec)["generate"]
    return [generated.pictures(generate), *likeness.make(likeness.by_seed(generate), prepared)]
