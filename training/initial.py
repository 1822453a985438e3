"""Weights to begin with: `--init-from=RUN|hf:DIR|FILE`."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import h5py
import keras
import ml_dtypes  # noqa: F401  (NumPy's bfloat16, which safetensors asks for)
import numpy as np
from safetensors import SafetensorError, safe_open

from kmodels.core import zoo
from training import checkpoints, pretrained, runs
from training.config import Run, UserError

WEIGHTS = "model.safetensors"


@dataclasses.dataclass(frozen=True)
class Source:
    """Tensors of a source, by the name it gives them, and where our variables are among them.

    Attributes:
        name_of: Our variable's path to the name there.
    """

    tensors: Mapping[str, Any]
    name_of: Callable[[str], str]

    def fits(self, variable: keras.Variable) -> bool:
        """Whether there is a tensor of the variable's name and shape."""
        there = self.tensors.get(self.name_of(variable.path))
        return there is not None and tuple(there.shape) == tuple(variable.shape)


def read(run: Run, model: keras.Model) -> Source:
    """What `run.init_from` names, so that some of it fits the model.

    Raises:
        UserError: it is neither a run, nor a folder in the Hugging Face layout, nor a file of
            weights; it cannot be read; it is of another kind of network; nothing in it fits.
    """
    given = str(run.init_from)
    try:
        source = _read(given, run)
        if not any(source.fits(variable) for variable in model.weights):
            raise UserError(f"no tensor of {given} fits this model.")
    except UserError as error:
        raise UserError(f"--init-from: {error}") from None
    return source


def _read(given: str, run: Run) -> Source:
    path = pathlib.Path(given)
    if given.startswith("hf:"):
        return hugging_face(pathlib.Path(given.removeprefix("hf:")), run)
    if path.suffix == ".safetensors":
        tensors = _safetensors([path])
        return Source(checkpoints.model_weights(tensors) or tensors, lambda path: path)
    if path.name.endswith(".weights.h5"):
        return Source(_keras(path, run), lambda path: path)
    if path.is_dir():
        tensors = runs.tensors(path)
        return Source(checkpoints.model_weights(tensors), lambda path: path)
    if not path.exists():
        raise UserError(f"{given} does not exist.")
    raise UserError(
        f"{given} is no source of weights; give a run's folder, hf:FOLDER in the Hugging Face "
        "layout, or a .safetensors or .weights.h5 file."
    )


def hugging_face(folder: pathlib.Path, run: Run) -> Source:
    """A folder with config.json and model.safetensors, whole or in shards.

    Raises:
        UserError: a file is missing or unreadable, or the network there computes something else.
    """
    layout = pretrained.load(run.model)
    settings = _json(folder / "config.json")
    kind = settings.get("model_type")
    if kind not in layout.TYPES:
        raise UserError(
            f"{folder} holds a model of type {kind!r}; {run.model} reads {', '.join(layout.TYPES)}."
        )
    for field, value in layout.fixed(settings).items():
        if getattr(run.config, field) != value:
            raise UserError(
                f"{folder} has {field} {value}, and config.{field} is "
                f"{getattr(run.config, field)}; give --config.{field}={value}."
            )
    index = folder / f"{WEIGHTS}.index.json"
    files = sorted(set(_json(index)["weight_map"].values())) if index.exists() else [WEIGHTS]
    tensors = _safetensors([folder / file for file in files])
    prefix = next((n.split(".")[0] + "." for n in tensors if n.startswith("transformer.")), "")
    return Source(tensors, lambda path: prefix + layout.name(path, settings))


def _json(file: pathlib.Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{file} does not exist.") from None
    except ValueError as error:
        raise UserError(f"{file} is no JSON object: {error}.") from None


def _safetensors(files: Sequence[pathlib.Path]) -> dict[str, np.ndarray]:
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


def _keras(file: pathlib.Path, run: Run) -> dict[str, np.ndarray]:
    """A file of `keras.Model.save_weights`, which fits a model of this config or no other."""
    twin = zoo.load(run.model).build(run.config)
    try:
        count = _tensors_in(file)
        if count != len(twin.weights):
            raise ValueError(f"it holds {count} tensors, and the model has {len(twin.weights)}.")
        twin.load_weights(file)
    except FileNotFoundError:
        raise UserError(f"{file} does not exist.") from None
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{file} does not fit this model: {str(error).strip().splitlines()[0]}"
        ) from None
    return {variable.path: variable.numpy() for variable in twin.weights}


def _tensors_in(file: pathlib.Path) -> int:
    """How many a file holds; Keras passes over those that it has no place for."""
    names: list[str] = []
    with h5py.File(file) as stored:
        stored.visititems(lambda n, v: names.append(n) if isinstance(v, h5py.Dataset) else None)
    return len(names)


def take(
    source: Source,
    model: keras.Model,
    say: Callable[[str], None],
    *,
    average: Sequence[keras.Variable] = (),
) -> None:
    """Sets the weights that fit; says which do not, why, and what was left there.

    Args:
        average: The averaged weights, which begin with the same values.
    """
    used: set[str] = set()
    for variable in model.weights:
        name = source.name_of(variable.path)
        there = source.tensors.get(name)
        if there is not None and source.fits(variable):
            variable.assign(np.asarray(there).astype(variable.dtype))
            used.add(name)
        else:
            why = "not there" if there is None else f"of shape {tuple(there.shape)} there"
            say(f"{variable.path} {tuple(variable.shape)} keeps its initial values: it is {why}.")
    for variable in average:
        if source.fits(variable):
            variable.assign(np.asarray(source.tensors[source.name_of(variable.path)]))
    left = sorted(source.tensors.keys() - used)
    say(
        f"--init-from: {len(used)} of {len(model.weights)} tensors were taken"
        f"{f', {len(left)} there were not used: {shortened(left)}' if left else ''}."
    )


def shortened(names: Sequence[str], most: int = 8) -> str:
    """The first names, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
