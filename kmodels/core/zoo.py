"""The registry of papers: the folder `kmodels/` itself."""

import difflib
import importlib
import pkgutil
from typing import Any, cast

import kmodels
from kmodels.core.paper import Paper


def names() -> list[str]:
    """The papers, in alphabetical order, without importing them."""
    return sorted(m.name for m in pkgutil.iter_modules(kmodels.__path__) if not m.ispkg)


def load(name: str) -> Paper:
    """Imports a paper.

    Raises:
        ValueError: no paper has that name; the message names the nearest ones.
    """
    if name not in names():
        raise ValueError(unknown("model", name, names()))
    return cast(Paper, importlib.import_module(f"kmodels.{name}"))


def open_fields(config: Any) -> list[str]:
    """The fields of a config that the data of a run decide, and that are not set."""
    return [name for name in ("vocab", "classes") if getattr(config, name, 0) is None]


def unknown(kind: str, given: str, allowed: list[str]) -> str:
    """One sentence for a name that is not in a list: given, nearest, allowed."""
    near = difflib.get_close_matches(given, allowed, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"There is no {kind} {given!r}.{hint} Allowed: {', '.join(allowed)}."
