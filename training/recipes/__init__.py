"""What each paper is trained with: one file per paper, the paper's name."""

import importlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import keras

from kmodels.core import zoo
from training.config import Recipe, UserError
from training.loop import Evaluator
from training.prepared import Prepared


class RecipeModule(Protocol):
    """A module in `training/recipes/`."""

    UNIT: str
    PRESET: str
    DATA: tuple[str, ...]
    PROFILES: Mapping[str, Callable[[Any], Recipe]]  # "paper", "cpu", and what else it has

    def recipe(self, config: Any) -> Recipe:
        """The profile that suits the config."""

    def prepare(
        self, config: Any, recipe: Recipe, data_dir: pathlib.Path | None, *, codec: Any = None
    ) -> Prepared:
        """Reads the data; `codec` is taken as it is, None fits one."""

    def evaluators(self, model: keras.Model, prepared: Prepared) -> Sequence[Evaluator]: ...

    def ask(self, codec: Any, config: Any, published: pathlib.Path) -> str:
        """Arguments of a first question for the client, as a shell reads them.

        Args:
            published: The version's folder; the codec lies in its `assets.extra/codec`.
        """


def leave(model: str, run_dir: pathlib.Path) -> str:
    """What a paper leaves in the folder of a finished run besides: a sentence, mostly none."""
    left: Callable[[pathlib.Path], str] = getattr(load(model), "leave", lambda folder: "")
    return left(run_dir)


def load(model: str) -> RecipeModule:
    """The recipe module of a paper."""
    return cast(RecipeModule, importlib.import_module(f"training.recipes.{model}"))


def profile(model: str, name: str, config: Any) -> Recipe:
    """A paper's recipe by its profile's name; "auto" is the one that suits the config.

    Raises:
        UserError: the paper has no such profile.
    """
    module = load(model)
    offered = {"auto": module.recipe, **module.PROFILES}
    if name not in offered:
        raise UserError(zoo.unknown(f"recipe of {model}", name, list(offered)))
    return offered[name](config)
