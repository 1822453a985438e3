"""What each paper is trained with: one file per paper, the paper's name."""

import importlib
import pathlib
from collections.abc import Sequence
from typing import Any, Protocol, cast

import keras

from training.config import Recipe
from training.loop import Evaluator
from training.prepared import Prepared


class RecipeModule(Protocol):
    """A module in `training/recipes/`."""

    UNIT: str
    PRESET: str
    DATA: tuple[str, ...]

    def recipe(self, config: Any) -> Recipe: ...

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


def load(model: str) -> RecipeModule:
    """The recipe module of a paper."""
    return cast(RecipeModule, importlib.import_module(f"training.recipes.{model}"))
