"""What each paper is trained with: one file per paper, the paper's name."""

import dataclasses
import hashlib
import importlib
import pathlib
from collections.abc import Sequence
from typing import Any, Protocol, cast

import keras

from training.config import Recipe
from training.loop import Data, Evaluator


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What the data of a run decides.

    Attributes:
        config: The paper's config, complete.
        codec: Turns user values into batches; its `save(folder)` goes into the run.
        data: Batches.
        sha256: Of what was read; a run goes on with the same data only.
        prompt: A beginning of held-out data, for samples.
    """

    config: Any
    codec: Any
    data: Data
    sha256: str
    prompt: str

    @classmethod
    def of(cls, config: Any, codec: Any, data: Data, text: str, *, prompt: str) -> "Prepared":
        """With the codec's vocabulary where the config leaves it open."""
        if config.vocab is None:
            config = dataclasses.replace(config, vocab=codec.vocab)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return cls(config=config, codec=codec, data=data, sha256=digest, prompt=prompt)


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

    def ask(self, codec: Any, config: Any) -> str:
        """Arguments of a first question for the client, as a shell reads them."""


def load(model: str) -> RecipeModule:
    """The recipe module of a paper."""
    return cast(RecipeModule, importlib.import_module(f"training.recipes.{model}"))
