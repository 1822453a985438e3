"""How diffusion models are trained: Adam, and an average of the weights that makes the pictures."""

import dataclasses
import math
import pathlib
import shlex
from collections.abc import Sequence
from typing import Any, cast

import keras
import numpy as np

from kmodels import ddpm
from kmodels.core.codecs.features import Features
from kmodels.core.codecs.images import Images
from training import classifiers, prepared
from training.config import FeatureCodecChoice, ImageCodecChoice, Recipe, UserError
from training.data import changes
from training.data.labelled import Source, Split
from training.evaluators import denoised, likeness
from training.loop import Evaluator
from training.optimization import Adam, Constant, Cosine
from training.prepared import Prepared

UNIT = "examples"
POINTS = ("ring", "grid")
DATA = (*classifiers.DATA, *POINTS)
PRESET = "digits"
ALIKE = 64  # pictures that are compared with real ones at an evaluation
SEEN = ImageCodecChoice(mean=(127.5,), deviation=(127.5,))  # -1 to 1


def half_life(decay: float, batch_size: int) -> int:
    """Examples after which a weight counts half, where a step keeps so much of the average."""
    return round(math.log(0.5) / math.log(decay) * batch_size)


def paper(config: ddpm.Config) -> Recipe:
    """Appendix B: Adam at 2e-4 after 5,000 steps of rise, clipped at 1, averaged by 0.9999.

    CIFAR-10: 800,000 steps of 128. Pictures of 256 pixels: rate 2e-5 and batches of 64; 500,000
    steps are CelebA-HQ's, of LSUN's Church, Cat and Bedroom 1.2, 1.8 and 2.4 million. DDIM's
    network for CelebA has CelebA-HQ's steps here, and CIFAR's rate and batches. The paper has no
    points; they get what CIFAR-10 does.
    """
    large, batch_size = config.size >= 256, 64 if config.size >= 256 else 128
    small = classifiers.is_small(config)
    photographs = config.size >= classifiers.LARGE
    codec = dataclasses.replace(SEEN, short=config.size * 256 // 224) if photographs else SEEN
    made = Recipe(
        data="digits" if small else "image_folder" if photographs else "cifar10",
        codec=codec,
        learner="gradient",
        objective="denoising",
        optimizer=Adam(learning_rate=2e-5 if large else 2e-4, clip_norm=1.0),
        schedule=Constant(warmup_steps=5000),
        batch_size=batch_size,
        steps=500_000 if photographs else 800_000,
        log_every=50,
        eval_every=1000,
        save_every=1000,
        eval_batches=3 if small else 79,
        xla=False,  # whose convolutions are slower: a step would take half as long again
        average_half_life=half_life(0.9999, batch_size),
        origin="paper",
    )
    if not config.inputs:
        return made
    return dataclasses.replace(made, data=POINTS[0], codec=FeatureCodecChoice())


def cpu(config: ddpm.Config) -> Recipe:
    """Digits and points in minutes; of networks for photographs twenty steps: that they train."""
    if config.inputs:
        return _points(paper(config))
    tiny = ddpm.param_count(config) < 100_000
    short = not classifiers.is_small(config)
    return dataclasses.replace(
        paper(config),
        optimizer=Adam(learning_rate=1e-2 if tiny else 2e-3, clip_norm=1.0),
        schedule=Cosine(warmup_steps=10, final=0.0),
        batch_size=4 if short else 16 if tiny else 64,
        steps=20 if short else 40 if tiny else 1000,
        log_every=5 if short else 10 if tiny else 50,
        eval_every=10 if short else 20 if tiny else 250,
        save_every=10 if short else 20 if tiny else 250,
        eval_batches=2 if short else 6,
        xla=not (short or tiny),
        average_half_life=100 if short or tiny else 6400,
        origin="cpu",
    )


def _points(made: Recipe) -> Recipe:
    """All modes of the ring and of the grid in a few minutes."""
    return dataclasses.replace(
        made,
        optimizer=Adam(learning_rate=2e-3, clip_norm=1.0),
        schedule=Cosine(warmup_steps=100, final=0.0),
        batch_size=500,
        steps=4000,
        log_every=100,
        eval_every=2000,
        save_every=2000,
        eval_batches=20,
        average_half_life=150_000,
        origin="cpu",
    )


def recipe(config: ddpm.Config) -> Recipe:
    """The paper's, or for points and small pictures a short one on a CPU."""
    short = config.inputs or classifiers.is_small(config)
    return cpu(config) if short else paper(config)


PROFILES = {"paper": paper, "cpu": cpu}


def prepare(
    config: ddpm.Config,
    recipe: Recipe,
    data_dir: pathlib.Path | None,
    *,
    codec: Any = None,
) -> Prepared:
    """Pictures of the config's size, of -1 to 1; written ones as they are, others mirrored too.

    Or points, minus their mean and over their deviation in the training part.

    Raises:
        UserError: the data do not fit the config, or cannot be read.
    """
    source = prepared.read(recipe, data_dir, DATA)
    _check_fit(config, recipe, source)
    if config.labels not in (0, len(source.labels)):
        raise UserError(
            f"The data have {len(source.labels):,} classes and config.labels is {config.labels}; "
            f"give --config.labels={len(source.labels)}, or 0 to tell the network of none."
        )
    if config.inputs:
        return prepared.features(config, recipe, source, codec=codec or scaled(source))
    made = [] if recipe.data in classifiers.WRITTEN else [changes.mirrored()]
    return prepared.pictures(
        config,
        recipe,
        source,
        codec=codec,
        changes=made,
    )


def _check_fit(config: ddpm.Config, recipe: Recipe, source: Source) -> None:
    """Raises UserError unless pictures come to a U-Net, or points to the network for points."""
    count = len(source.names) if recipe.data in POINTS else None
    if config.inputs == count:
        return
    has = f"--data={recipe.data} has " + (f"points of {count} numbers" if count else "pictures")
    if config.inputs is None:
        raise UserError(f"{has}, and this preset is for pictures; give --preset=points.")
    if count is None:
        raise UserError(
            f"{has}, and config.inputs is {config.inputs}, which is for points; give --data=ring "
            "or grid, or another preset."
        )
    raise UserError(f"{has}, and config.inputs is {config.inputs}; give --config.inputs={count}.")


def scaled(source: Source) -> Features:
    """A codec by which points have mean 0 and deviation 1 in the training part."""
    points = cast(Split, source.train).inputs.astype(np.float64)
    mean, deviation = (tuple(v.round(6).tolist()) for v in (points.mean(0), points.std(0)))
    return Features(names=source.names, labels=source.labels, mean=mean, deviation=deviation)


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """What it makes of noise, and of a held-out picture with noise; or which modes it finds.

    Small pictures are compared with real ones too. Larger ones would take a CPU minutes; there
    `training.evaluate --generated` compares them.
    """
    if isinstance(prepared.codec, Features):
        return [denoised.points(model, prepared)]
    draw = denoised.drawing(model, prepared.codec)
    looks = [denoised.samples(draw, model, prepared), denoised.strip(model, prepared)]
    if classifiers.is_small(model.config):
        looks += likeness.make(draw, prepared, count=ALIKE)
    return looks


def ask(codec: Images | Features, config: ddpm.Config, published: pathlib.Path) -> str:
    """Two examples, of a class where the network can be told one."""
    told = shlex.quote(f'label=["{codec.labels[-1]}"]') + " " if config.labels else ""
    return f"--signature=sample {told}'seed=[1,2]'"
