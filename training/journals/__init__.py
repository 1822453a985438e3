"""Where a run's numbers, texts and pictures go: one kind of place per file.

`logs.jsonl` is the truth and `samples/` the texts and pictures; both are always written. The others
are chosen with `--journals=csv,tensorboard,...`; each file here offers `make(run)`.
"""

import dataclasses
import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np

from kmodels.core import zoo
from training.config import Run, UserError

ALWAYS = ("jsonl", "samples")
CHOICES = ("csv", "tensorboard", "wandb", "mlflow")
EXTRAS = ("wandb", "mlflow")  # extras of pyproject.toml, named as the packages they import


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """What is told at one step of one split.

    Attributes:
        split: "train", means over an interval, or "eval".
        numbers: Finite or not.
        pictures: uint8 [H, W, C], C of 1, 3 or 4.
    """

    step: int
    split: str
    numbers: Mapping[str, float]
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    pictures: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


def is_kept(at: int, split: str, step: int, *, evaluated: bool) -> bool:
    """Whether what was told at a step of a split stays when the run goes on from `step`."""
    return at < step or (at == step and (evaluated or split == "train"))


class Sink(Protocol):
    """One place that is written to."""

    def write(self, entry: Entry) -> None:
        """Takes one entry; steps never fall between two calls of `rewind`."""

    def rewind(self, step: int, *, evaluated: bool = True) -> None:
        """Drops what came after `step`, and its own evaluation where that is to come again."""

    def close(self) -> None:
        """The run ends or stops; nothing more is written."""


class _Kind(Protocol):
    def make(self, run: Run) -> Sink: ...


def chosen(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list, each once.

    Raises:
        UserError: a name is unknown, or its package is not installed.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in (*ALWAYS, *CHOICES):
            raise UserError(f"--journals: {zoo.unknown('journal', name, list(CHOICES))}")
        if name in EXTRAS and importlib.util.find_spec(name) is None:
            raise UserError(
                f"--journals={name} needs a package that is not installed: "
                f"`uv sync --extra {name}` installs it."
            )
    return tuple(name for name in names if name not in ALWAYS)


def make(run: Run) -> list[Sink]:
    """The places of a run, logs.jsonl first."""
    names = (*ALWAYS, *run.journals)
    return [cast(_Kind, _module(name)).make(run) for name in names]


def _module(name: str) -> Any:
    return importlib.import_module(f"training.journals.{name}")
