"""Where others keep a paper's weights: one file per paper, the paper's name."""

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any, Protocol, cast

from training.config import UserError


class Layout(Protocol):
    """A module in `training/pretrained/`: the Hugging Face layout of one paper."""

    TYPES: tuple[str, ...]  # the `model_type`s of config.json that this paper can be

    def fixed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What config.json says about fields of our config that no tensor's shape tells."""

    def name(self, path: str, settings: Mapping[str, Any]) -> str:
        """The name there of the tensor that our variable of this path is."""


def load(model: str) -> Layout:
    """The layout module of a paper; raises UserError where none is known."""
    name = f"training.pretrained.{model}"
    if importlib.util.find_spec(name) is None:
        raise UserError(f"No Hugging Face layout is known for {model}.")
    return cast(Layout, importlib.import_module(name))
