"""Writes tests/golden/<paper>.json: what must not change unless a commit says why.

    python tests/golden/generate.py gpt

Batches come from NumPy and the weights from Keras's seeded initialisers; dropout and XLA are off.
So the numbers are those of any machine to within 1e-4, and of any release of the embedded text.
"""

import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

FOLDER = pathlib.Path(__file__).parent
OPEN = {"vocab": 64, "classes": 10}  # of the tiny preset, where the paper leaves it to the codec
STEPS = 10
ROWS = 4


def tokens(config: Any) -> dict[str, np.ndarray]:
    """Random tokens that repeat with period 3, so that there is something to learn."""
    rng = np.random.default_rng(len("tokens"))
    motif = rng.integers(0, config.vocab, (ROWS, 3))
    rows = np.tile(motif, (1, config.context))[:, : config.context + 1].astype(np.int32)
    return {"tokens": rows[:, :-1], "targets": rows[:, 1:]}


def labelled(config: Any) -> dict[str, np.ndarray]:
    """Random pictures or rows of numbers, of two classes in turn."""
    rng = np.random.default_rng(len("labelled"))
    has_size = hasattr(config, "size")
    shape = (config.size, config.size, config.channels) if has_size else config.inputs
    inputs = rng.normal(0, 1, (ROWS, *shape)).astype(np.float32)
    key = "image" if len(shape) == 3 else "features"
    return {key: inputs, "label": np.arange(ROWS, dtype=np.int32) % 2}


def units(config: Any) -> dict[str, np.ndarray]:
    """Random rows of numbers, each unit to fire where a number of its own is above 0."""
    rng = np.random.default_rng(len("units"))
    inputs = rng.normal(0, 1, (ROWS, config.inputs)).astype(np.float32)
    questions = inputs[:, np.arange(config.units) % config.inputs]
    return {"features": inputs, "label": (questions > 0).astype(np.int32)}


def bright(config: Any) -> dict[str, np.ndarray]:
    """Random pictures from 0 to 1, their upper half dark."""
    rng = np.random.default_rng(len("bright"))
    image = rng.uniform(0, 1, (ROWS, config.size, config.size, config.channels))
    image[:, : config.size // 2] *= 0.1
    return {"image": image.astype(np.float32)}


def played(config: Any) -> dict[str, np.ndarray]:
    """Random pictures or rows of numbers; and latents to ask with, for training draws its own."""
    rng = np.random.default_rng(len("played"))
    latent = rng.normal(0, 1, (ROWS, config.latent)).astype(np.float32)
    (key, inputs), *_ = labelled(config).items()
    return {"latent": latent, key: inputs}


def pieces(config: Any) -> dict[str, np.ndarray]:
    """Random tiles to ask with; and pictures of stripes, of which training cuts its own."""
    rng = np.random.default_rng(len("pieces"))
    tiles = rng.normal(0, 1, (ROWS, 9, config.tile, config.tile, config.channels))
    across = np.linspace(0, 3, config.size) ** 2
    stripes = np.sin(across[:, None] + 2 * across + rng.uniform(0, 1, (ROWS, 1, 1)))
    image = np.repeat(stripes[..., None], config.channels, axis=-1)
    return {"tiles": tiles.astype(np.float32), "image": image.astype(np.float32)}


def twins(config: Any) -> dict[str, np.ndarray]:
    """Random pictures, each twice with a little noise."""
    rng = np.random.default_rng(len("twins"))
    pictures = rng.uniform(0, 1, (ROWS, 1, config.size, config.size, config.channels))
    views = pictures + rng.normal(0, 0.05, (ROWS, 2, *pictures.shape[2:]))
    return {"image": views.astype(np.float32)}


def transitions(config: Any) -> dict[str, np.ndarray]:
    """Random states, of which the action says what is earned; some end a game."""
    rng = np.random.default_rng(len("transitions"))
    states = rng.normal(0, 1, (2, ROWS, *config.observation)).astype(np.float32)
    action = np.arange(ROWS, dtype=np.int32) % config.actions
    return {
        "state": states[0],
        "action": action,
        "reward": action.astype(np.float32),
        "next_state": states[1],
        "done": np.arange(ROWS) % 3 == 0,
    }


BATCHES = {  # by objective
    "temporal_difference": transitions,
    "contrastive": twins,
    "permutation": pieces,
    "next_token": tokens,
    "classification": labelled,
    "goodness": labelled,
    "denoising": labelled,
    "perceptron_criterion": units,
    "reconstruction": bright,
    "elbo": bright,
    "inpainting": bright,
    "minimax": played,
    "non_saturating": played,
}


def config_of(paper: Any) -> Any:
    """The tiny preset, its vocabulary or classes given and its dropout off."""
    tiny = paper.PRESETS["tiny"]
    from kmodels.core import zoo

    names = {field.name for field in dataclasses.fields(tiny)}
    off = {name: 0.0 for name in names if name.endswith("dropout")}
    return dataclasses.replace(tiny, **off, **{name: OPEN[name] for name in zoo.open_fields(tiny)})


def batch_of(name: str, config: Any) -> dict[str, tf.Tensor]:
    """One batch of a paper."""
    from training import recipes

    arrays = BATCHES[recipes.load(name).recipe(config).objective](config)
    return {key: tf.constant(value) for key, value in arrays.items()}


def learner_of(
    name: str,
    config: Any,
    *,
    seed: int = 0,
    compile: bool = False,
    clip_norm: float | None = None,
    **changes: Any,
) -> Any:
    """A new model and what moves it, as the recipe says, with the rate at its peak at once.

    Args:
        clip_norm: Another largest norm of the gradient than the recipe's.
        changes: Other fields of the recipe.
    """
    import importlib

    from kmodels.core import classifying, zoo
    from training import recipes
    from training.config import Run
    from training.optimization import Constant

    keras.utils.set_random_seed(seed)
    model = zoo.load(name).build(config)
    recipe = recipes.load(name).recipe(config)
    if clip_norm is not None:
        changes["optimizer"] = dataclasses.replace(recipe.optimizer, clip_norm=clip_norm)
    recipe = dataclasses.replace(recipe, schedule=Constant(), **changes)
    if recipe.freeze:
        classifying.freeze(model)
    run = Run(
        model=name,
        preset="tiny",
        config=config,
        recipe=recipe,
        seed=seed,
        compile=compile,
        run_dir=pathlib.Path("nowhere"),
        export_dir=pathlib.Path("nowhere"),
    )
    objective = importlib.import_module(f"training.objectives.{recipe.objective}")
    learners = importlib.import_module(f"training.learners.{recipe.learner}")
    return learners.make(model, getattr(objective, recipe.objective), run)


def losses(learner: Any, batch: dict[str, tf.Tensor], steps: int = STEPS) -> Iterator[float]:
    """The training loss of each step, all on the same batch."""
    step = tf.function(learner.train_step, autograph=False)
    for _ in range(steps):
        yield float(step(batch)["loss"])


def golden(name: str) -> dict[str, Any]:
    """All that the file of a paper holds."""
    from kmodels.core import zoo

    paper = zoo.load(name)
    config = config_of(paper)
    batch = batch_of(name, config)
    learner = learner_of(name, config)
    inputs = next(iter(batch.values()))
    said = learner.model(inputs, training=False)
    outputs = np.asarray(said["logits"] if isinstance(said, dict) else said, np.float64)
    of_pictures = outputs.ndim == 4
    last = outputs[0].ravel() if of_pictures else outputs[0].reshape(-1, outputs.shape[-1])[-1]
    return {
        "parameters": {
            preset: paper.param_count(config)
            for preset, config in paper.PRESETS.items()
            if not zoo.open_fields(config)
        },
        "tiny": {
            "parameters": paper.param_count(config),
            "outputs": [round(float(x), 6) for x in last[:8]],
            "losses": [round(x, 5) for x in losses(learner, batch)],
        },
    }


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER.parents[1]))
    from kmodels.core import zoo

    for given in sys.argv[1:] or zoo.names():
        text = json.dumps(golden(given), indent=2) + "\n"
        (FOLDER / f"{given}.json").write_text(text)
        print(text, end="")
