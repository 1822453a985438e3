"""How variational autoencoders are trained: up the bound, by Adagrad in the paper, by Adam here."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kmodels import vae
from training import drawers
from training.config import OptimizerChoice, Origin, Recipe, ScheduleChoice
from training.evaluators import drawings, likelihood, likeness
from training.loop import Evaluator
from training.optimization import Adagrad, Adam, Constant, Cosine, Step
from training.prepared import Prepared

UNIT = "images"
DATA = drawers.DATA
PRESET = "digits"
prepare = drawers.prepare

EPOCH = 60_000  # pictures of MNIST


def paper(config: vae.Config) -> Recipe:
    """Section 5: Adagrad in batches of 100, weights with a standard normal prior (MAP).

    The rate is 0.01, 0.02 or 0.1 there, "based on performance in the first few iterations". Figure
    2 goes on to 10^8 examples. The prior's gradient is w over the number of examples.
    """
    rule = Adagrad(learning_rate=0.02, weight_decay=1 / EPOCH, decay="all")
    return _recipe(config, rule, Constant(), batch_size=100, steps=1_000_000, origin="paper")


def burda(config: vae.Config) -> Recipe:
    """Burda et al. 2015, section 5: Adam, batches of 20, passes of 1, 3, 9 ... 3^7 epochs.

    Each is at a lower rate, 0.001 * 10^(-i/7). The momentum 0.99 is that of their program.
    """
    rule = Adam(learning_rate=1e-3, beta_1=0.99, beta_2=0.999, epsilon=1e-4)
    epochs = [(3**i - 1) // 2 for i in range(1, 9)]  # done after each pass
    steps = [epoch * EPOCH // 20 for epoch in epochs]
    cuts = Step(boundaries=tuple(steps[:-1]), factor=10 ** (-1 / 7))
    return _recipe(config, rule, cuts, batch_size=20, steps=steps[-1], origin="paper")


def recipe(config: vae.Config) -> Recipe:
    """Minutes on a CPU: the embedded digits two hundred times, MNIST ten times."""
    if config.size > 8:
        rule = Adam(learning_rate=1e-3)
        return _recipe(config, rule, Cosine(), batch_size=100, steps=6000, origin="cpu")
    tiny = vae.param_count(config) < 10_000 and bool(config.hidden)
    rate = 3e-2 if not config.hidden else 1e-2 if tiny else 2e-3
    return _recipe(
        config,
        Adam(learning_rate=rate),
        Cosine(final=0.0),
        batch_size=8 if tiny else 64,
        steps=40 if tiny else 4500,
        origin="cpu",
    )


def _recipe(
    config: vae.Config,
    optimizer: OptimizerChoice,
    schedule: ScheduleChoice,
    *,
    batch_size: int,
    steps: int,
    origin: Origin,
) -> Recipe:
    small = config.size <= 8
    short = steps < 100
    every = steps // 2 if short else min(steps // 6, 3000)
    return Recipe(
        data="digits" if small else "mnist",
        codec=drawers.CODEC,
        learner="gradient",
        objective="elbo",
        optimizer=optimizer,
        schedule=schedule,
        batch_size=batch_size,
        steps=steps,
        log_every=10 if short else 50,
        eval_every=every,
        save_every=every,
        eval_batches=-(-(drawers.DIGITS if small else drawers.MNIST) // batch_size),
        xla=not small,
        origin=origin,
    )


PROFILES = {"paper": paper, "burda": burda, "cpu": recipe}


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Pictures made again, drawn, on the way along each latent, on the plane of two; bounds."""

    def encode(seen: tf.Tensor) -> tf.Tensor:
        return model.encoder(seen)["mean"]

    def make(latent: tf.Tensor) -> tf.Tensor:
        return model.picture(model.decoder(latent)["pixels"])

    looks = [
        drawings.reconstructions(lambda seen: make(encode(seen)), prepared),
        drawings.samples(make, prepared, width=model.config.latents),
        drawings.traversals(make, encode, prepared),
        likelihood.bounds(model, prepared),
    ]
    sample = vae.endpoints(model, prepared.codec)["sample"]
    looks += likeness.make(likeness.by_seed(sample), prepared)
    if model.config.latents == 2:
        looks += [drawings.plane(make, prepared), drawings.positions(encode, prepared)]
    return looks


def ask(codec: Any, config: vae.Config, published: Any) -> str:
    """Two seeds."""
    return "'seed=[1,2]'"
