"""How GANs are trained: two optimizers, as their authors had them, or Adam with little memory."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from kmodels import gan
from kmodels.core.codecs.images import Images
from training import classifiers, prepared
from training.config import FeatureCodecChoice, ImageCodecChoice, Recipe, UserError
from training.evaluators import generated, likeness, modes
from training.loop import Evaluator
from training.optimization import SGD, Adam, Constant, Linear
from training.prepared import Prepared

UNIT = "examples"
POINTS = ("ring", "grid")
DATA = (*classifiers.DATA, *POINTS)
PRESET = "digits"
MNIST = 60_000
RANGES = {"sigmoid": (0.0, 255.0), "tanh": (127.5, 127.5)}  # mean and deviation of a codec


def paper(config: gan.Config) -> Recipe:
    """The authors' program for MNIST, or for points PacGAN's (appendix A).

    MNIST: 250 epochs, batches of 100, SGD at 0.1 for both on *half* the discriminator's loss, hence
    0.05 here; a rate over 1.000004 at each update, which is exp(-0.6) of it in the end. There
    momentum rises from 0.5 to 0.7; here it stays at 0.5. Points: Adam, 400 epochs of 100,000.
    """
    if _is_points(config):
        return dataclasses.replace(_points(), steps=400_000, eval_every=10_000, origin="paper")
    slow = SGD(learning_rate=0.05, momentum=0.5)
    return dataclasses.replace(
        recipe(config),
        data="mnist" if config.inputs[0] > 8 else "digits",
        optimizer=dataclasses.replace(slow, learning_rate=0.1),
        discriminator_optimizer=slow,
        schedule=Linear(final=0.55),
        batch_size=100,
        steps=250 * MNIST // 100,
        log_every=100,
        eval_every=3000,
        save_every=3000,
        eval_batches=100 if config.inputs[0] > 8 else 4,
        average_half_life=None,
        origin="paper",
    )


def recipe(config: gan.Config) -> Recipe:
    """Points, or a short run on pictures, the generator's weights averaged.

    What is watched is the energy distance of held-out pictures and made ones.
    """
    if _is_points(config):
        return _points()
    tiny, large = config.inputs[0] < 8, config.inputs[0] > 8
    rule = Adam(learning_rate=2e-3 if tiny else 2e-4, beta_1=0.5)
    return Recipe(
        data="mnist" if large else "digits",
        codec=ImageCodecChoice(mean=RANGES["sigmoid"][:1], deviation=RANGES["sigmoid"][1:]),
        learner="adversarial",
        objective="non_saturating",
        optimizer=rule,
        discriminator_optimizer=rule,
        schedule=Constant(),
        batch_size=8 if tiny else 100,
        steps=40 if tiny else 40_000 if large else 4000,
        log_every=10 if tiny else 100,
        eval_every=20 if tiny else 1000,
        save_every=20 if tiny else 1000,
        eval_batches=45 if tiny else 100 if large else 4,
        watch="energy_distance",
        average_half_life=None if tiny else 20_000,
        origin="cpu",
    )


def _is_points(config: gan.Config) -> bool:
    return len(config.inputs) == 1


def _points() -> Recipe:
    """PacGAN's optimizer and batch, for a hundredth of its 400,000 steps."""
    rule = Adam(learning_rate=1e-4, beta_1=0.8)
    return Recipe(
        data="ring",
        codec=FeatureCodecChoice(),
        learner="adversarial",
        objective="non_saturating",
        optimizer=rule,
        discriminator_optimizer=rule,
        schedule=Constant(),
        batch_size=100,
        steps=4000,
        log_every=100,
        eval_every=1000,
        save_every=1000,
        eval_batches=20,
        watch="energy_distance",
        origin="cpu",
    )


PROFILES = {"paper": paper, "cpu": recipe}


def prepare(
    config: gan.Config, recipe: Recipe, data_dir: pathlib.Path | None, *, codec: Any = None
) -> Prepared:
    """Pictures as large as the config's inputs, or points.

    Raises:
        UserError: the data do not fit the config, or a batch fills no pack.
    """
    source = prepared.read(recipe, data_dir, DATA)
    part = recipe.critic_steps * config.packing
    if recipe.batch_size % part:
        raise UserError(
            f"batch_size is {recipe.batch_size}; with {recipe.critic_steps} critic_steps and "
            f"{config.packing} in a pack it must be a multiple of {part}."
        )
    if recipe.data in POINTS:
        if config.inputs != (2,) or config.output != "linear":
            raise UserError(
                f"--data={recipe.data} has points of 2 numbers, and config.inputs is "
                f"{config.inputs} with a {config.output} output; give --preset=points."
            )
        return prepared.features(config, recipe, source, codec=codec)
    made = prepared.pictures(config, recipe, source, codec=codec)
    check_range(made.codec, config.output)
    return made


def check_range(codec: Images, output: str) -> None:
    """Raises UserError unless real pictures have the range of what is made.

    Args:
        output: What bends the generator's last values: "sigmoid" 0 to 1, "tanh" -1 to 1.
    """
    mean, deviation = RANGES.get(output, (None, None))
    if {*codec.mean} != {mean} or {*codec.deviation} != {deviation}:
        wants = f"--codec.mean {mean} and --codec.deviation {deviation}"
        wants = "pictures need a sigmoid or tanh" if mean is None else f"give {wants}"
        raise UserError(
            f"The generator's output is {output}, and pictures come minus {codec.mean} over "
            f"{codec.deviation}; {wants}."
        )


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Pictures of fixed seeds and how like real ones they are, or which modes are found."""
    generate = gan.endpoints(model, prepared.codec)["generate"]
    if isinstance(prepared.codec, Images):
        alike = likeness.make(likeness.by_seed(generate), prepared)
        return [generated.pictures(generate), *alike]
    data: Any = prepared.data
    return [modes.found(generate, data.source)]


def ask(codec: Any, config: gan.Config, published: pathlib.Path) -> str:
    """Two seeds."""
    return "'seed=[0,1]'"
