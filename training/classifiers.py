"""What recipes of picture classifiers share: their data, the papers' runs and the short one."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from kmodels.core.codecs.images import Images
from training import prepared
from training.config import ImageCodecChoice, OptimizerChoice, Recipe, ScheduleChoice
from training.data import changes
from training.data.labelled import Change
from training.optimization import Cosine
from training.prepared import Prepared

DATA = ("digits", "mnist", "cifar10")
WRITTEN = ("digits", "mnist")  # a mirrored digit is none
TINY = 30_000  # parameters below which a network is for tests


def is_small(config: Any) -> bool:
    """Whether a network is for pictures that a CPU trains on in minutes."""
    return bool(config.size < 32)


def published(
    optimizer: OptimizerChoice,
    schedule: ScheduleChoice,
    *,
    batch_size: int,
    steps: int,
    short: int | None = 256,
    average_half_life: int | None = None,
    xla: bool = False,
) -> Recipe:
    """A paper's own recipe, for GPUs; what papers do not say, such as when to log, is alike in all.

    Args:
        short: The short side that pictures are resized to before the centre is cut out.
    """
    return Recipe(
        data="cifar10",
        codec=ImageCodecChoice(short=short),
        learner="gradient",
        objective="classification",
        optimizer=optimizer,
        schedule=schedule,
        batch_size=batch_size,
        steps=steps,
        log_every=50,
        eval_every=1000,
        save_every=1000,
        eval_batches=79,
        watch="error",
        average_half_life=average_half_life,
        xla=xla,
    )


def cpu(
    param_count: Callable[[Any], int],
    config: Any,
    optimizer: OptimizerChoice,
    *,
    steps: int,
    xla: bool = False,
) -> Recipe:
    """Minutes on two cores, for small grey pictures: no paper's recipe, and not meant to be one.

    Args:
        param_count: The paper's, for a tiny network gets forty steps instead.
    """
    tiny = param_count(dataclasses.replace(config, classes=config.classes or 10)) < TINY
    return Recipe(
        data="digits",
        codec=ImageCodecChoice(),
        learner="gradient",
        objective="classification",
        optimizer=optimizer,
        schedule=Cosine(warmup_steps=20, final=0.0),
        batch_size=8 if tiny else 64,
        steps=40 if tiny else steps,
        log_every=10 if tiny else 25,
        eval_every=20 if tiny else 200,
        save_every=20 if tiny else 200,
        eval_batches=45 if tiny else 6,
        watch="error",
        xla=xla,
    )


def prepare(
    config: Any, recipe: Recipe, data_dir: pathlib.Path | None, *, codec: Images | None = None
) -> Prepared:
    """Pictures of the config's size, in training shifted by an eighth, and mirrored if not written.

    That is what He et al. 2015, section 4.2, do with pictures of 32 x 32.

    Raises:
        UserError: the data do not fit the config.
    """
    source = prepared.read(recipe, data_dir, DATA)
    made: Sequence[Change] = [changes.moved(max(1, source.train.inputs.shape[1] // 8))]
    if recipe.data not in WRITTEN:
        made = [*made, changes.mirrored()]
    return prepared.pictures(
        config,
        recipe,
        source,
        size=config.size,
        channels=config.channels,
        codec=codec,
        changes=made,
    )
