"""Tensors and settings from the files that others write."""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import ml_dtypes  # noqa: F401  (NumPy's bfloat16, which safetensors asks for)
import numpy as np
from safetensors import SafetensorError, safe_open

from training.config import UserError

MADE_ANEW = ("optimizer", "seed_generator")  # parts of a file that are no weights


def settings(file: pathlib.Path) -> dict[str, Any]:
    """A JSON object; raises UserError where the file holds none."""
    try:
        return dict(json.loads(file.read_text()))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{file} does not exist.") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} is no JSON object: {error}.") from None


def safetensors(files: Sequence[pathlib.Path]) -> dict[str, np.ndarray]:
    """All tensors of the files by name; raises UserError where a file is not readable."""
    tensors: dict[str, np.ndarray] = {}
    for file in files:
        try:
            with safe_open(file, framework="numpy") as stored:
                tensors |= {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except FileNotFoundError:
            raise UserError(f"{file} does not exist.") from None
        except SafetensorError as error:
            raise UserError(f"{file} is no readable safetensors file: {error}.") from None
    return tensors


def keras(file: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of an .h5 file that Keras wrote, as "LAYER/NUMBER" or "LAYER/.../LAYER/NUMBER".

    The number is the tensor's place among those of its layer. Both forms are read: that of Keras
    3, where every layer has a group with its name, and the older one that keras.applications
    publishes, with a list of names.

    Raises:
        UserError: the file does not exist, is not whole, or Keras did not write it.
    """
    return _each(file, lambda stored: stored[()])


def keras_names(file: pathlib.Path) -> list[str]:
    """The names that `keras` gives, without reading the tensors; raises as it does."""
    return list(_each(file, lambda stored: stored))


def _each(file: pathlib.Path, take: Callable[[h5py.Dataset], Any]) -> dict[str, Any]:
    try:
        with h5py.File(file) as stored:
            found = (_listed if "layer_names" in stored.attrs else _nested)(stored)
            return {name: take(dataset) for name, dataset in found.items()}
    except FileNotFoundError:
        raise UserError(f"{file} does not exist.") from None
    except (OSError, KeyError, RuntimeError) as error:
        said = str(error).strip("'\"").splitlines()[0]
        raise UserError(f"{file} is no readable file of Keras: {said}.") from None


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _listed(stored: h5py.File) -> dict[str, h5py.Dataset]:
    """The older form: layers in order, and the names of each one's tensors in order."""
    return {
        f"{_text(layer)}/{number}": stored[_text(layer)][_text(name)]
        for layer in stored.attrs["layer_names"]
        for number, name in enumerate(stored[_text(layer)].attrs["weight_names"])
    }


def _nested(stored: h5py.File) -> dict[str, h5py.Dataset]:
    """Keras 3: a layer's tensors lie in its group `vars`, whose attribute is the layer's name."""
    found: dict[str, h5py.Dataset] = {}

    def visit(place: str, item: Any) -> None:
        *owner, _, number = ["", *place.split("/")]
        if not isinstance(item, h5py.Dataset) or set(MADE_ANEW) & set(owner):
            return
        above = ["/".join([*owner[1 : i + 1], "vars"]) for i in range(1, len(owner))]
        names = [_text(stored[a].attrs["name"]) for a in above if a in stored]
        found["/".join([*names, number])] = item

    stored.visititems(visit)
    return found
