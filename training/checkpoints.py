"""Checkpoints: every variable of a run in one safetensors file, complete or not there at all.

    checkpoints/00000250/state.safetensors    the tensors, by "group/variable path"
    checkpoints/00000250/meta.json            step, best metric so far, sha256 of the tensors

A checkpoint is written under another name, forced to disk and then renamed, so a kill at any
moment leaves the ones before it untouched.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from safetensors.numpy import load_file
from safetensors.numpy import save as dump

State = Mapping[str, Sequence[keras.Variable]]


class Unreadable(Exception):
    """A checkpoint that is damaged; the message says how."""


class Foreign(Exception):
    """A sound checkpoint of other variables; the message says which."""


@dataclasses.dataclass(frozen=True)
class Meta:
    """What a checkpoint knows besides tensors. `best` is the lowest watched value so far."""

    step: int
    best: float | None
    best_step: int | None
    sha256: str = ""


def save(folder: pathlib.Path, state: State, meta: Meta, *, keep: int = 2) -> pathlib.Path:
    """Writes the checkpoint of a step and removes all but the newest `keep` and the best.

    Raises:
        OSError: the disk is full or the folder cannot be written; older checkpoints stay.
    """
    final = folder / f"{meta.step:08d}"
    if final.exists():
        return final
    part = folder / f"{final.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        tensors = part / "state.safetensors"
        tensors.write_bytes(
            dump({k: np.asarray(v.numpy(), order="C") for k, v in _named(state).items()})
        )
        meta = dataclasses.replace(meta, sha256=digest(tensors))
        (part / "meta.json").write_text(json.dumps(dataclasses.asdict(meta)) + "\n")
        for path in (tensors, part / "meta.json", part):
            sync(path)
        part.rename(final)
        sync(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    for old in everything(folder)[:-keep]:
        if old.name != f"{meta.best_step or 0:08d}":
            shutil.rmtree(old)
    return final


def everything(folder: pathlib.Path) -> list[pathlib.Path]:
    """The finished checkpoints of a run, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name.isdigit())


def restore(checkpoint: pathlib.Path, state: State) -> Meta:
    """Sets every variable of `state` to what the checkpoint holds.

    Raises:
        Unreadable: a file is missing, cut off or changed.
        Foreign: it holds other variables. In both cases nothing was set.
    """
    meta, tensors = read(checkpoint)
    variables = _named(state)
    shapes = {name: tuple(v.shape) for name, v in variables.items()}
    there = {name: tuple(v.shape) for name, v in tensors.items()}
    odd = sorted(n for n in shapes.keys() | there.keys() if shapes.get(n) != there.get(n))
    if odd:
        raise Foreign(
            f"{checkpoint.name} holds other variables: {odd[0]} has shape "
            f"{there.get(odd[0], 'nothing')} there and {shapes.get(odd[0], 'nothing')} here"
            + (f", and {len(odd) - 1} more differ" if odd[1:] else "")
        )
    for name, variable in variables.items():
        variable.assign(tensors[name])
    return meta


def read(checkpoint: pathlib.Path) -> tuple[Meta, dict[str, Any]]:
    """The meta and the tensors by name; raises Unreadable as `restore`."""
    try:
        meta = Meta(**json.loads((checkpoint / "meta.json").read_text()))
        if digest(checkpoint / "state.safetensors") != meta.sha256:
            raise Unreadable(f"{checkpoint.name} is damaged: its tensors changed after the save")
        return meta, load_file(checkpoint / "state.safetensors")
    except FileNotFoundError as error:
        raise Unreadable(f"{checkpoint.name} lacks {pathlib.Path(error.filename).name}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise Unreadable(f"{checkpoint.name} has an unreadable meta.json: {error}") from None


def model_weights(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The model's part of a checkpoint's tensors, by variable path; averaged where there is one."""
    return {
        name.removeprefix(group): value
        for group in ("model/", "average/")
        for name, value in tensors.items()
        if name.startswith(group)
    }


def _named(state: State) -> dict[str, keras.Variable]:
    """Variables by "group/path", without the number by which Keras tells a process's objects."""
    named: dict[str, keras.Variable] = {}
    for group, variables in state.items():
        for variable in variables:
            path = re.sub(r"^(\w+?)_\d+/", r"\1/", variable.path)
            name, count = f"{group}/{path}", 1
            while name in named:
                count += 1
                name = f"{group}/{path}_{count}"
            named[name] = variable
    return named


def set_aside(checkpoint: pathlib.Path) -> None:
    """Renames a checkpoint that cannot be read, so that it is kept but never looked at again."""
    number = 1
    while (aside := checkpoint.with_name(f"{checkpoint.name}.unreadable-{number}")).exists():
        number += 1
    checkpoint.rename(aside)


def digest(path: pathlib.Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: pathlib.Path) -> None:
    """Forces a file or a folder's entries to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
