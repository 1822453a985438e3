"""How perceptrons are trained: Rosenblatt's rule on one example after another."""

import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from kmodels import perceptron
from kmodels.core.codecs.features import Features
from training import prepared
from training.config import FeatureCodecChoice, Recipe, UserError
from training.data import logic
from training.loop import Evaluator
from training.optimization import SGD, Constant
from training.prepared import Prepared

UNIT = "examples"
DATA = ("logic",)
PRESET = "gates"


def recipe(config: perceptron.Config) -> Recipe:
    """w += rate (wanted - fired) x, a row of the truth table at a time, a hundred times through."""
    return Recipe(
        data="logic",
        codec=FeatureCodecChoice(),
        learner="gradient",
        objective="perceptron_criterion",
        optimizer=SGD(learning_rate=0.5, momentum=0.0),
        schedule=Constant(),
        batch_size=1,
        steps=400,
        log_every=4,
        eval_every=20,
        save_every=100,
        eval_batches=4,
        watch="error",
        xla=False,
        origin="paper",
    )


PROFILES = {"paper": recipe, "cpu": recipe}  # the paper's rule is a matter of seconds


def prepare(
    config: perceptron.Config,
    recipe: Recipe,
    data_dir: pathlib.Path | None,
    *,
    codec: Features | None = None,
) -> Prepared:
    """The truth tables, a unit for each gate.

    Raises:
        UserError: the config has other inputs or units than the tables.
    """
    source = prepared.read(recipe, data_dir, DATA)
    for name, given, there in (
        ("inputs", config.inputs, len(source.names)),
        ("units", config.units, len(source.labels)),
    ):
        if given != there:
            raise UserError(
                f"--data={recipe.data} has {there} {name}, and config.{name} is {given}."
            )
    return prepared.features(config, recipe, source, codec=codec)


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """What each unit says of each row, as a table."""
    rows: Any = logic.read(None).eval  # in memory
    gates = prepared.codec.labels

    def table() -> dict[str, Any]:
        says = perceptron.fires(model(rows.inputs, training=False)).numpy().astype(int)
        lines = ["inputs  " + "  ".join(f"{gate:>3}" for gate in gates)]
        for bits, said, wanted in zip(rows.inputs, says, rows.labels, strict=True):
            cells = (f"{s}{' ' if s == w else '!'}" for s, w in zip(said, wanted, strict=True))
            lines.append(f"{bits.astype(int)!s:6}  " + "  ".join(f"{c:>3}" for c in cells))
        return {"sample": "\n".join([*lines, "! is wrong"])}

    return [table]


def ask(codec: Features, config: perceptron.Config, published: pathlib.Path) -> str:
    """All four rows of the table."""
    return "'features=[[0,0],[0,1],[1,0],[1,1]]'"
