"""Checkpoints: every variable of a run in one safetensors file, complete or not there at all.

    checkpoints/00000250/state.safetensors    the tensors, by "group/variable path"
    checkpoints/00000250/data.safetensors     what data made by acting have become, if they are
    checkpoints/00000250/meta.json            step, best metric so far, sha256 of the files

A checkpoint is written under another name, forced to disk and then renamed, so a kill at any
moment leaves the ones before it untouched. A `Saver` copies the variables and writes them while
training goes on.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from training.files import digest, sync

State = Mapping[str, Sequence[keras.Variable]]
MODEL_GROUPS = ("model", "average")  # the later takes the place of the one before in an export
Tensors = dict[str, np.ndarray]
NOTHING: Mapping[str, np.ndarray] = MappingProxyType({})


class Unreadable(Exception):
    """A checkpoint that is damaged; the message says how."""


class Foreign(Exception):
    """A sound checkpoint of other variables; the message says which."""


@dataclasses.dataclass(frozen=True)
class Meta:
    """What a checkpoint knows besides tensors: see `training.loop.Progress`."""

    step: int
    best: float | None
    best_step: int | None
    evaluated: bool = True
    sha256: str = ""
    data_sha256: str = ""


def to_json(meta: Meta) -> str:
    """The text of meta.json."""
    return json.dumps(dataclasses.asdict(meta)) + "\n"


class Saver:
    """Saves while training goes on: the copy is made at once, a thread writes it.

    At most one checkpoint is being written; the next save waits for it. What goes wrong in the
    thread is raised, once, by the next call of any method, or at the end of the `with` block,
    which waits for the last save.

    Args:
        folder: Where checkpoints go.
        keep: How many of the newest stay, besides the best.
    """

    def __init__(self, folder: pathlib.Path, *, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep
        self.thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="saver")
        self.writing: concurrent.futures.Future[pathlib.Path] | None = None
        self.last: Meta | None = None
        self.host: Tensors = {}
        self.host_data: Tensors = {}

    def save(self, state: State, meta: Meta, *, data: Mapping[str, np.ndarray] = NOTHING) -> None:
        """Copies the variables as they are now and has them written; once for a meta.

        Args:
            data: What data made by acting have become; see `training.living`.

        Raises:
            OSError: the save before this one failed; older checkpoints stay.
        """
        if meta == self.last:
            return
        self.wait()
        self.host, self.last = copied(state, into=self.host), meta
        self.host_data = _copied(data, self.host_data)
        self.writing = self.thread.submit(
            write, self.folder, self.host, meta, keep=self.keep, data=self.host_data
        )

    def check(self) -> None:
        """Raises the error of a save that has failed; waits for nothing."""
        if self.writing is not None and self.writing.done():
            self.wait()

    def wait(self) -> None:
        """Returns when what was saved is on disk; raises what kept it from getting there."""
        writing, self.writing = self.writing, None
        if writing is not None:
            writing.result()

    def kept(self) -> list[pathlib.Path]:
        """The finished checkpoints, oldest first, the one being written included."""
        self.wait()
        return everything(self.folder)

    def __enter__(self) -> "Saver":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            self.wait()
        finally:
            self.thread.shutdown()


def save(folder: pathlib.Path, state: State, meta: Meta, *, keep: int = 2) -> pathlib.Path:
    """Copies and writes in one go; see `write`."""
    return write(folder, copied(state), meta, keep=keep)


def copied(state: State, *, into: Tensors | None = None) -> Tensors:
    """The variables' values in host memory, by the names that a checkpoint has for them.

    Args:
        into: An earlier copy to overwrite, for fresh memory costs more time than the copying.
    """
    now = {  # on a CPU the variable's memory
        name: np.asarray(tf.convert_to_tensor(variable.value))
        for name, variable in _named(state).items()
    }
    return _copied(now, {} if into is None else into)


def _copied(now: Mapping[str, np.ndarray], into: Tensors) -> Tensors:
    """Copies of the arrays, in the memory of earlier copies where they have the shape."""
    for name, value in now.items():
        if name in into and into[name].shape == value.shape:
            np.copyto(into[name], value)
        else:
            into[name] = np.array(value, order="C")
    return into


def write(
    folder: pathlib.Path,
    tensors: Tensors,
    meta: Meta,
    *,
    keep: int = 2,
    data: Mapping[str, np.ndarray] = NOTHING,
) -> pathlib.Path:
    """Writes the checkpoint of a step and removes all but the newest `keep` and the best.

    One of the same step, from before that step's evaluation, is replaced.

    Raises:
        OSError: the disk is full or the folder cannot be written; older checkpoints stay.
    """
    final = folder / f"{meta.step:08d}"
    part = folder / f"{final.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        file = part / "state.safetensors"
        dump(tensors, file)
        meta = dataclasses.replace(meta, sha256=digest(file))
        if data:
            dump(dict(data), part / "data.safetensors")
            meta = dataclasses.replace(meta, data_sha256=digest(part / "data.safetensors"))
        (part / "meta.json").write_text(to_json(meta))
        for path in (*part.iterdir(), part):
            sync(path)
        if final.exists():
            shutil.rmtree(final)
        part.rename(final)
        sync(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    for old in everything(folder)[:-keep]:
        if old.name != f"{meta.best_step or 0:08d}":
            shutil.rmtree(old)
    return final


def dump(tensors: Tensors, file: pathlib.Path) -> None:
    """Writes the tensors without another copy in memory.

    Raises:
        OSError: they cannot be written.
    """
    try:
        save_file(tensors, file)
    except SafetensorError as error:  # the library's name for the system's errors too
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(file)) from None
    file.chmod(file.parent.stat().st_mode & 0o666)  # the library's files are for their owner only


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
    with _reading(checkpoint):
        meta = _meta(checkpoint)
        if digest(checkpoint / "state.safetensors") != meta.sha256:
            raise Unreadable(f"{checkpoint.name} is damaged: its tensors changed after the save")
        return meta, load_file(checkpoint / "state.safetensors")


def read_data(checkpoint: pathlib.Path) -> Tensors:
    """What data made by acting had become; empty of others. Raises Unreadable as `restore`."""
    with _reading(checkpoint):
        meta, file = _meta(checkpoint), checkpoint / "data.safetensors"
        if not meta.data_sha256:
            return {}
        if digest(file) != meta.data_sha256:
            raise Unreadable(f"{checkpoint.name} is damaged: its data changed after the save")
        return dict(load_file(file))


def _meta(checkpoint: pathlib.Path) -> Meta:
    return Meta(**json.loads((checkpoint / "meta.json").read_text()))


@contextlib.contextmanager
def _reading(checkpoint: pathlib.Path) -> Iterator[None]:
    """Raises Unreadable where files are missing or say nothing."""
    try:
        yield
    except FileNotFoundError as error:
        raise Unreadable(f"{checkpoint.name} lacks {pathlib.Path(error.filename).name}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise Unreadable(f"{checkpoint.name} has an unreadable meta.json: {error}") from None


def model_weights(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The model's part of a checkpoint's tensors, by variable path; averaged where there is one."""
    return {
        name.removeprefix(group): value
        for group in (f"{name}/" for name in MODEL_GROUPS)
        for name, value in tensors.items()
        if name.startswith(group)
    }


def _named(state: State) -> dict[str, keras.Variable]:
    """Variables by "group/path".

    What Keras names by itself, optimizers and dropout's generators, goes without the number by
    which it tells the objects of a process; a model's layers have names of their own, numbers too.
    """
    named: dict[str, keras.Variable] = {}
    for group, variables in state.items():
        for variable in variables:
            automatic = "seed_generator" if group in MODEL_GROUPS else r"\w+?"
            path = re.sub(rf"^({automatic})_\d+/", r"\1/", variable.path)
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
