"""What recipes of picture classifiers share: their data, the papers' runs and the short one."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kmodels.core.codecs.images import Images
from training import prepared
from training.config import ImageCodecChoice, OptimizerChoice, Recipe, ScheduleChoice
from training.data import changes
from training.data.labelled import Change, Each, Source
from training.optimization import Cosine
from training.prepared import Prepared

DATA = ("digits", "mnist", "cifar10", "image_folder", "tfds")
WRITTEN = ("digits", "mnist")  # a mirrored digit is none
TINY = 30_000  # parameters below which a network is for tests
DIGITS = 360  # held-out pictures of the embedded digits
LARGE = 64  # pixels a side from which pictures are photographs, and a CPU can but try a network

# What a paper does with photographs: the network's size and the data to a cut, and what follows.
Photographs = Callable[[Any, Source], tuple[Each | None, Sequence[Change]]]

Profile = Callable[[Any], Recipe]


def is_small(config: Any) -> bool:
    """Whether a network is for pictures that a CPU trains on in minutes."""
    return bool(config.size < 32)


def suits(paper: Profile, cpu: Profile) -> Profile:
    """A paper's `recipe`: the paper's profile, or for small pictures the short one on a CPU."""

    def recipe(config: Any) -> Recipe:
        return cpu(config) if is_small(config) else paper(config)

    return recipe


def published(
    config: Any,
    optimizer: OptimizerChoice,
    schedule: ScheduleChoice,
    *,
    batch_size: int,
    steps: int,
    data: str = "image_folder",
    average_half_life: int | None = None,
    mixup: float = 0.0,
    randaugment: tuple[int, int] | None = None,
    xla: bool = False,
) -> Recipe:
    """A paper's own schedule, for GPUs; what papers do not say, such as when to log, is ours.

    Steps are the paper's, mostly epochs of ImageNet's 1.28 million pictures, whatever the data. Of
    photographs 256 pixels of the short side are kept for 224 that are cut out, as all these papers
    do, and in proportion for other sizes.
    """
    small = is_small(config)
    return Recipe(
        data="digits" if small else data,
        codec=ImageCodecChoice(short=config.size * 256 // 224 if config.size >= LARGE else None),
        learner="gradient",
        objective="classification",
        optimizer=optimizer,
        schedule=schedule,
        batch_size=batch_size,
        steps=steps,
        log_every=50,
        eval_every=1000,
        save_every=1000,
        eval_batches=-(-DIGITS // batch_size) if small else 79,
        watch="error",
        average_half_life=average_half_life,
        mixup=mixup,
        randaugment=randaugment,
        xla=xla,
        origin="paper",
    )


def cpu(
    param_count: Callable[[Any], int],
    config: Any,
    optimizer: OptimizerChoice,
    *,
    steps: int,
    xla: bool = False,
) -> Recipe:
    """A short run on two cores: no paper's schedule, and not meant to be one.

    Small pictures take minutes, a ResNet of 20 layers on CIFAR-10 less than an hour. A network for
    photographs takes twenty steps, which show that it trains and no more.

    Args:
        param_count: The paper's, for a tiny network gets forty steps instead.
        steps: For small pictures.
    """
    tiny = param_count(dataclasses.replace(config, classes=config.classes or 10)) < TINY
    if config.size >= LARGE:
        pace = _Pace("digits", batch_size=4, steps=20, log_every=5, every=10, eval_batches=2)
    elif not is_small(config):
        pace = _Pace("cifar10", batch_size=32, steps=2000, log_every=25, every=250, eval_batches=32)
    elif tiny:
        pace = _Pace("digits", batch_size=8, steps=40, log_every=10, every=20, eval_batches=45)
    else:
        pace = _Pace("digits", batch_size=64, steps=steps, log_every=25, every=200, eval_batches=6)
    return Recipe(
        data=pace.data,
        codec=ImageCodecChoice(),
        learner="gradient",
        objective="classification",
        optimizer=optimizer,
        schedule=Cosine(warmup_steps=min(20, pace.steps // 2), final=0.0),
        batch_size=pace.batch_size,
        steps=pace.steps,
        log_every=pace.log_every,
        eval_every=pace.every,
        save_every=pace.every,
        eval_batches=pace.eval_batches,
        watch="error",
        xla=xla,
        origin="cpu",
    )


class _Pace(NamedTuple):
    """What a short run takes; `every` so many steps it is evaluated and saved."""

    data: str
    batch_size: int
    steps: int
    log_every: int
    every: int
    eval_batches: int


def prepare(
    config: Any,
    recipe: Recipe,
    data_dir: pathlib.Path | None,
    *,
    codec: Images | None = None,
    photographs: Photographs | None = None,
) -> Prepared:
    """Pictures of the config's size, in training changed as the paper has it.

    Written ones and small ones are shifted by an eighth, and mirrored if not written: that is what
    He et al. 2015, section 4.2, do with pictures of 32 x 32.

    Args:
        photographs: What the paper does with others; None does the same.

    Raises:
        UserError: the data do not fit the config.
    """
    source = prepared.read(recipe, data_dir, DATA)
    cut: Each | None = None
    made: Sequence[Change]
    if recipe.data in WRITTEN or is_small(config) or photographs is None:
        side = source.train.shape[0] or config.size
        moved = changes.moved(max(1, side // 8))
        made = [moved] if recipe.data in WRITTEN else [moved, changes.mirrored()]
    else:
        cut, made = photographs(config, source)
    return prepared.pictures(
        config,
        recipe,
        source,
        codec=codec,
        cut=cut,
        changes=made,
    )


def scaled(config: Any, length: int) -> int:
    """A length that papers give for networks of 224 x 224, for one of the config's size."""
    size: int = config.size
    return round(length * size / 224)


def coloured(config: Any, source: Source) -> Sequence[Change]:
    """Mirrored, and shifted along the axes of the training pixels' colours."""
    noise = changes.coloured(source.moments(config.channels).covariance)
    return [changes.mirrored(), noise]
