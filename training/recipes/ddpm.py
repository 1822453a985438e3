"""How diffusion models are trained: Adam, and an average of the weights that makes the pictures."""

import dataclasses
import math
import pathlib
import shlex
from collections.abc import Sequence

import keras

from kmodels import ddpm
from kmodels.core.codecs.images import Images
from training import classifiers, prepared
from training.config import ImageCodecChoice, Recipe, UserError
from training.data import changes
from training.evaluators import denoised
from training.loop import Evaluator
from training.optimization import Adam, Constant, Cosine
from training.prepared import Prepared

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
SEEN = ImageCodecChoice(mean=(127.5,), deviation=(127.5,))  # -1 to 1


def half_life(decay: float, batch_size: int) -> int:
    """Examples after which a weight counts half, where a step keeps so much of the average."""
    return round(math.log(0.5) / math.log(decay) * batch_size)


def paper(config: ddpm.Config) -> Recipe:
    """Appendix B: Adam at 2e-4 after 5,000 steps of rise, clipped at 1, averaged by 0.9999.

    CIFAR-10: 800,000 steps of 128. Pictures of 256 pixels: rate 2e-5 and batches of 64; 500,000
    steps are CelebA-HQ's, of LSUN's Church, Cat and Bedroom 1.2, 1.8 and 2.4 million. DDIM's
    network for CelebA has CelebA-HQ's steps here, and CIFAR's rate and batches.
    """
    large, batch_size = config.size >= 256, 64 if config.size >= 256 else 128
    small = classifiers.is_small(config)
    photographs = config.size >= classifiers.LARGE
    codec = dataclasses.replace(SEEN, short=config.size * 256 // 224) if photographs else SEEN
    return Recipe(
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


def cpu(config: ddpm.Config) -> Recipe:
    """Digits in minutes; of networks for photographs twenty steps, which show that they train."""
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


def recipe(config: ddpm.Config) -> Recipe:
    """The paper's, or for small pictures a short one on a CPU."""
    return cpu(config) if classifiers.is_small(config) else paper(config)


PROFILES = {"paper": paper, "cpu": cpu}


def prepare(
    config: ddpm.Config,
    recipe: Recipe,
    data_dir: pathlib.Path | None,
    *,
    codec: Images | None = None,
) -> Prepared:
    """Pictures of the config's size, of -1 to 1; written ones as they are, others mirrored too.

    Raises:
        UserError: the data have other classes than the config, or cannot be read.
    """
    source = prepared.read(recipe, data_dir, DATA)
    if config.labels not in (0, len(source.labels)):
        raise UserError(
            f"The data have {len(source.labels):,} classes and config.labels is {config.labels}; "
            f"give --config.labels={len(source.labels)}, or 0 to tell the network of none."
        )
    made = [] if recipe.data in classifiers.WRITTEN else [changes.mirrored()]
    return prepared.pictures(
        config,
        recipe,
        source,
        codec=codec,
        changes=made,
    )


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """What it makes of noise, and of a held-out picture with noise."""
    return [denoised.samples(model, prepared), denoised.strip(model, prepared)]


def ask(codec: Images, config: ddpm.Config, published: pathlib.Path) -> str:
    """Two pictures, of a class where the network can be told one."""
    told = shlex.quote(f'label=["{codec.labels[-1]}"]') + " " if config.labels else ""
    return f"--signature=sample {told}'seed=[1,2]'"
