"""How context encoders are trained: Adam with little memory, the generator ten times as fast."""

import functools
import pathlib
from collections.abc import Sequence

import keras
import tensorflow as tf

from kmodels import context_encoder
from kmodels.core.codecs.images import Images
from training import classifiers, draws, prepared
from training.config import ImageCodecChoice, Origin, Recipe, ScheduleChoice
from training.data import changes, crops
from training.data.labelled import Change
from training.evaluators import drawings, neighbours, pictures
from training.loop import Evaluator
from training.optimization import Adam, Constant, Cosine
from training.prepared import Prepared
from training.recipes.gan import RANGES, check_range

UNIT = "images"
DATA = classifiers.DATA
PRESET = "digits"
ask = pictures.question
PARIS = 14_900  # pictures of Paris StreetView to learn from
CIFAR = 157  # batches of all held-out pictures, which may come class by class
RATE, TIMES = 2e-4, 10  # of the discriminator, and how much faster the generator is
SHORT = 350  # pixels of the short side of photographs, of which a part is cut out


def paper(config: context_encoder.Config) -> Recipe:
    """The authors' program: Adam, batches of 64, for 500 epochs of Paris StreetView.

    Without a discriminator the program gives the generator the usual rate. How AlexNet's features
    are learnt is not part of the published code; their 100,000 steps are ours.
    """
    small, large = classifiers.is_small(config), config.size >= classifiers.LARGE
    two = config.adversarial > 0
    return _recipe(
        config,
        rates=(TIMES * RATE if two else RATE, RATE),
        schedule=Constant(),
        data="digits" if small else "image_folder" if large else "cifar10",
        short=max(SHORT, config.size * 256 // 224) if large else None,
        steps=500 * PARIS // 64 if two else 100_000,
        every=1000,
        eval_batches=6 if small else 20 if large else CIFAR,
        origin="paper",
    )


def cpu(config: context_encoder.Config) -> Recipe:
    """A minute or two for digits, at the paper's rates or, for features, at five times its own.

    CIFAR-10 takes longer. Photographs take twenty steps, to show that they train.
    """
    rates = (TIMES * RATE, RATE) if config.adversarial else (5 * RATE, RATE)
    if config.size >= classifiers.LARGE:
        return _recipe(config, rates, batch_size=4, steps=20, every=10, eval_batches=2, log_every=5)
    if context_encoder.param_count(config) < 10_000:
        return _recipe(
            config, (1e-3, 1e-2), batch_size=8, steps=40, every=20, eval_batches=45, log_every=10
        )
    if not classifiers.is_small(config):
        return _recipe(config, rates, data="cifar10", steps=2000, every=500, eval_batches=CIFAR)
    return _recipe(config, rates, steps=2000, every=500, eval_batches=6)


def _recipe(
    config: context_encoder.Config,
    rates: tuple[float, float],
    *,
    schedule: ScheduleChoice | None = None,
    data: str = "digits",
    short: int | None = None,
    batch_size: int = 64,
    steps: int,
    every: int,
    eval_batches: int,
    log_every: int = 50,
    origin: Origin = "cpu",
) -> Recipe:
    """What both profiles share; `every` so many steps the run is evaluated and saved.

    Args:
        rates: The generator's, and the discriminator's where there is one.
        schedule: None lets the rates fall to 0.
    """
    mean, deviation = RANGES["tanh"]
    two = config.adversarial > 0
    generators, discriminators = (Adam(learning_rate=rate, beta_1=0.5) for rate in rates)
    return Recipe(
        data=data,
        codec=ImageCodecChoice(short=short, mean=(mean,), deviation=(deviation,)),
        learner="adversarial" if two else "gradient",
        objective="inpainting",
        optimizer=generators,
        discriminator_optimizer=discriminators if two else None,
        schedule=schedule or Cosine(warmup_steps=min(50, every // 2), final=0.0),
        batch_size=batch_size,
        steps=steps,
        log_every=log_every,
        eval_every=every,
        save_every=every,
        eval_batches=eval_batches,
        watch="l2",
        xla=False,
        origin=origin,
    )


PROFILES = {"paper": paper, "cpu": cpu}


def recipe(config: context_encoder.Config) -> Recipe:
    """The paper's for photographs, a short one for small pictures."""
    return paper(config) if config.size >= classifiers.LARGE else cpu(config)


def prepare(
    config: context_encoder.Config,
    recipe: Recipe,
    data_dir: pathlib.Path | None,
    *,
    codec: Images | None = None,
) -> Prepared:
    """Pictures of the config's size, from -1 to 1.

    Where `codec.short` is given any square is cut out, mirrored or not, as in the authors' program;
    else pictures are shifted by an eighth. What is written is never mirrored.

    Raises:
        UserError: the data do not fit the config, or the codec's choice gives other numbers.
    """
    source = prepared.read(recipe, data_dir, DATA)
    made: list[Change] = [] if recipe.data in classifiers.WRITTEN else [changes.mirrored()]
    short, cut = getattr(recipe.codec, "short", None), None
    if short is None:
        made.insert(0, changes.moved(max(1, (source.train.shape[0] or config.size) // 8)))
    else:
        cut = crops.jittered(config.size, shorts=(short, short))
    found = prepared.pictures(config, recipe, source, codec=codec, cut=cut, changes=made)
    check_range(found.codec, "tanh")
    return found


def evaluators(model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]:
    """Held-out pictures, these with a hole, and with it filled; what features know of classes."""

    def missing(seen: tf.Tensor) -> tf.Tensor:
        return model.missing(draws.added({"image": seen}, model, training=False))

    looks = [
        drawings.reconstructions(
            lambda holed: model.filled(holed, missing(holed)),
            prepared,
            shown=lambda seen: model.holed(seen, missing(seen)),
        )
    ]
    if not model.config.bottleneck:
        looks.append(neighbours.make(functools.partial(_features, model), prepared))
    return looks


def _features(model: keras.Model, seen: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(model.encoder(seen, training=False), axis=[1, 2])
