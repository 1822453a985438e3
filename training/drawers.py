"""What recipes of networks that draw pictures share: pictures as numbers from 0 to 1."""

import pathlib
from typing import Any

from kmodels.core.codecs.images import Images
from training import prepared
from training.config import ImageCodecChoice, Recipe, UserError
from training.prepared import Prepared

DATA = ("digits", "mnist", "cifar10", "image_folder", "tfds")
CODEC = ImageCodecChoice(mean=(0.0,), deviation=(255.0,))
DIGITS, MNIST = 360, 10_000  # held-out pictures


def prepare(
    config: Any, recipe: Recipe, data_dir: pathlib.Path | None, *, codec: Images | None = None
) -> Prepared:
    """Pictures of the config's size from 0 to 1, as they are.

    Raises:
        UserError: the data do not fit the config, or the codec's choice gives other numbers.
    """
    choice = codec or recipe.codec
    scale = getattr(choice, "mean", None), getattr(choice, "deviation", None)
    if scale != (CODEC.mean, CODEC.deviation):
        raise UserError(
            f"codec.mean is {scale[0]} and codec.deviation {scale[1]}; a network whose pixels lie "
            "between 0 and 1 takes 0 and 255."
        )
    source = prepared.read(recipe, data_dir, DATA)
    return prepared.pictures(config, recipe, source, codec=codec)
