"""How autoencoders are trained: all layers at once, by Adam."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from kmodels import autoencoder
from training import drawers, draws
from training.config import Origin, Recipe
from training.evaluators import drawings, pictures
from training.loop import Evaluator
from training.objectives import reconstruction
from training.optimization import Adam, Cosine
from training.prepared import Prepared

UNIT = "images"
DATA = drawers.DATA
PRESET = "digits"
prepare = drawers.prepare
ask = pictures.question


def paper(config: autoencoder.Config) -> Recipe:
    """As long as the paper's: 200 epochs of MNIST in batches of 1000 (its supplement).

    There they are epochs of conjugate gradients after 50 of each layer alone; here of Adam.
    """
    return _recipe(config, batch_size=1000, steps=12_000, origin="paper")


def recipe(config: autoencoder.Config) -> Recipe:
    """Minutes on a CPU: the embedded digits 130 times, MNIST five times."""
    if config.size > 8:
        return _recipe(config, batch_size=100, steps=3000, origin="cpu")
    tiny = autoencoder.param_count(config) < 3000 and bool(config.hidden)
    return _recipe(config, batch_size=8 if tiny else 64, steps=40 if tiny else 3000, origin="cpu")


def _recipe(config: autoencoder.Config, *, batch_size: int, steps: int, origin: Origin) -> Recipe:
    small = config.size <= 8
    rate = 3e-2 if not config.hidden else 3e-3 if small else 1e-3
    every = steps // 2 if steps < 100 else steps // 6
    return Recipe(
        data="digits" if small else "mnist",
        codec=drawers.CODEC,
        learner="gradient",
        objective="reconstruction",
        optimizer=Adam(learning_rate=rate),
        schedule=Cosine(warmup_steps=10 if steps < 100 else 100, final=0.0),
        batch_size=batch_size,
        steps=steps,
        log_every=10 if steps < 100 else 50,
        eval_every=every,
        save_every=every,
        eval_batches=-(-(drawers.DIGITS if small else drawers.MNIST) // batch_size),
        xla=not small,
        origin=origin,
    )


PROFILES = {"paper": paper, "cpu": recipe}


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Held-out pictures and what is made of them, and where codes of two numbers put them."""

    def shown(seen: tf.Tensor) -> tf.Tensor:
        batch = draws.added({"image": seen}, model, training=False)
        return reconstruction.shown(model, batch)

    looks = [
        drawings.reconstructions(
            lambda seen: model.picture(model(seen)),
            prepared,
            shown=shown if model.config.noise else None,
        )
    ]
    if model.config.code == 2:
        looks.append(drawings.positions(lambda seen: model.encoder(seen), prepared))
    return looks
