"""How multi-layer perceptrons are trained: digits by Adam, XOR by plain back-propagation."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from kmodels import mlp
from kmodels.core.codecs.images import Images
from training import classifiers, prepared
from training.config import FeatureCodecChoice, ImageCodecChoice, Recipe, UserError
from training.data import changes, logic
from training.evaluators import pictures
from training.loop import Evaluator
from training.optimization import SGD, Adam, Constant, Cosine
from training.prepared import Prepared

UNIT = "examples"
DATA = (*classifiers.DATA, "logic")
PRESET = "digits"


def paper(config: mlp.Config) -> Recipe:
    """Figure 1's numbers, or for pictures those of Batch Normalization, section 4.1.

    Figure 1: all rows at once, rate 0.1 of the sum of their gradients, so 0.4 of the mean of four,
    momentum 0.9, 1,425 sweeps. It learns symmetry by squared error; XOR learns by cross-entropy.
    Pictures (Ioffe, Szegedy 2015): 50,000 steps of 60; that paper names no rate, so 0.1 is ours.
    """
    if len(config.inputs) == 1:
        rule = SGD(learning_rate=0.4, momentum=0.9)
        return dataclasses.replace(
            _xor(), optimizer=rule, steps=1425, eval_every=75, log_every=25, origin="paper"
        )
    return dataclasses.replace(
        recipe(config),
        data="mnist" if config.inputs[0] > 8 else "digits",
        optimizer=SGD(learning_rate=0.1, momentum=0.0),
        schedule=Constant(),
        batch_size=60,
        steps=50_000,
        eval_batches=167 if config.inputs[0] > 8 else 6,
        origin="paper",
    )


def recipe(config: mlp.Config) -> Recipe:
    """XOR for two inputs, pictures for others; MNIST's sizes are trained longer."""
    if len(config.inputs) == 1:
        return _xor()
    tiny, large = config.inputs[0] < 8, config.inputs[0] > 8
    return Recipe(
        data="digits",
        codec=ImageCodecChoice(),
        learner="gradient",
        objective="classification",
        optimizer=Adam(learning_rate=1e-3),
        schedule=Cosine(warmup_steps=20, final=0.0),
        batch_size=8 if tiny else 128 if large else 64,
        steps=40 if tiny else 6000 if large else 1500,
        log_every=10 if tiny else 50,
        eval_every=20 if tiny else 250,
        save_every=20 if tiny else 250,
        eval_batches=45 if tiny else 79 if large else 6,
        watch="error",
        origin="cpu",
    )


def _xor() -> Recipe:
    """All four rows at once, by gradient descent with momentum (the paper's equation 9)."""
    return Recipe(
        data="logic",
        codec=FeatureCodecChoice(),
        learner="gradient",
        objective="classification",
        optimizer=SGD(learning_rate=0.5, momentum=0.9),
        schedule=Constant(),
        batch_size=4,
        steps=1000,
        log_every=50,
        eval_every=250,
        save_every=250,
        eval_batches=1,
        xla=False,
        origin="cpu",
    )


PROFILES = {"paper": paper, "cpu": recipe}


def prepare(
    config: mlp.Config, recipe: Recipe, data_dir: pathlib.Path | None, *, codec: Any = None
) -> Prepared:
    """Pictures as large as the config's inputs, or XOR's table.

    Raises:
        UserError: the data do not fit the config.
    """
    source = prepared.read(recipe, data_dir, DATA)
    if recipe.data == "logic":
        if config.inputs != (2,):
            raise UserError(f"--data=logic has two inputs, and config.inputs is {config.inputs}.")
        return prepared.features(config, recipe, logic.gate(source, "xor"), codec=codec)
    moves = [changes.moved(1)] if config.inputs[0] >= 8 else []
    return prepared.pictures(config, recipe, source, codec=codec, changes=moves)


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Where pictures are classified: which classes are confused, which mistakes are worst."""
    return pictures.mistakes(model, prepared) if isinstance(prepared.codec, Images) else []


def ask(codec: Any, config: mlp.Config, published: pathlib.Path) -> str:
    """The first held-out picture, or XOR's table."""
    if len(config.inputs) == 1:
        return "'features=[[0,0],[0,1],[1,0],[1,1]]'"
    return pictures.question(codec, config, published)
