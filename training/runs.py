"""Run folders, read back: what was decided, what was logged, and which checkpoint is meant."""

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from training.config import Run, UserError, differences, from_json
from training.files import locked

T = TypeVar("T")
Entry = dict[str, Any]  # a line of logs.jsonl


def described(run_dir: pathlib.Path) -> dict[str, Any]:
    """The run.json of a folder as it stands, whatever version wrote it.

    Raises:
        UserError: there is none, or it describes no run.
    """
    try:
        run = json.loads(_text(run_dir))
        return {**run, "model": run["model"], "config": dict(run["config"])}
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{run_dir / 'run.json'} does not describe a run.") from None


def read(run_dir: pathlib.Path) -> Run:
    """The run of a folder.

    Raises:
        UserError: there is none, its run.json describes no run, or one of another version.
    """
    from kmodels.core import zoo
    from training.optimization import Optimizer, Schedule

    def types_of(model: str) -> dict[str, Any]:
        return {
            "config": type(next(iter(zoo.load(model).PRESETS.values()))),
            "recipe.optimizer": Optimizer,
            "recipe.discriminator_optimizer": Optimizer | None,
            "recipe.schedule": Schedule,
        }

    described(run_dir)
    try:
        return from_json(_text(run_dir), types_of)
    except UserError as error:
        raise UserError(
            f"{run_dir / 'run.json'} is of another version of this project: {error}"
        ) from None
    except ValueError as error:
        raise UserError(f"{run_dir / 'run.json'}: {error}") from None


def check_folder(run: Run, *, publishes: bool = True) -> None:
    """Whether a run may begin or go on in its folder.

    More steps than before are the one difference that is welcome: the run goes on.

    Args:
        publishes: Whether it is to be exported.

    Raises:
        UserError: the folder holds another run, or this one finished, or nothing can be written
            there or where the export goes.
    """
    check_writable(run.run_dir, "--run-dir")
    if publishes:
        check_writable(run.export_dir, "--export-dir")
    file = run.run_dir / "run.json"
    if not file.exists():
        if run.run_dir.exists() and any(run.run_dir.iterdir()):
            raise UserError(
                f"{run.run_dir} holds files but no run.json, so it is not a run; "
                "give another --run-dir."
            )
        return
    try:
        old = json.loads(file.read_text())
        steps = int(old["recipe"]["steps"])
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{file} does not describe a run; give another --run-dir.") from None
    different = differences(old, run)
    if steps < run.recipe.steps:
        different = [d for d in different if not d.startswith("recipe.steps ")]
    if different:
        raise UserError(
            f"{run.run_dir} holds another run: {different[0]}"
            f"{f', and {len(different) - 1} more differences' if different[1:] else ''}. Give "
            "another --run-dir, a larger --steps to go on, or --init-from to begin with its "
            "weights."
        )
    if (run.run_dir / "export.json").exists() and steps == run.recipe.steps:
        raise UserError(
            f"{run.run_dir} holds this very run, finished at step {steps:,}. Give a larger "
            "--steps to go on, or another --run-dir with --init-from to begin with its weights."
        )


def check_writable(folder: pathlib.Path, flag: str) -> None:
    """Raises UserError unless the folder, or the nearest one above it, can be written to."""
    whole = folder.absolute()
    there = next(place for place in (whole, *whole.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(
            f"{flag}: nothing can be written to {folder}, for {there} is no folder that this user "
            "may write to."
        )


@contextlib.contextmanager
def held(run_dir: pathlib.Path) -> Iterator[None]:
    """Keeps other processes from writing a run's folder; the lock dies with its process.

    Raises:
        UserError: another process holds it.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    busy = (
        f"{run_dir} is being written by another process; wait until that has ended, or give "
        "another --run-dir."
    )
    try:
        with locked(run_dir, busy):
            yield
    finally:
        with contextlib.suppress(OSError):
            run_dir.rmdir()  # only where it is empty: what failed at once leaves nothing behind


def _text(run_dir: pathlib.Path) -> str:
    try:
        return (run_dir / "run.json").read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        where = "" if run_dir.exists() else " does not exist, or"
        raise UserError(f"{run_dir}{where} holds no run.json, so it is not a run.") from None


def entries(run_dir: pathlib.Path) -> list[Entry]:
    """The lines of logs.jsonl; a half-written last one is left out."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in (run_dir / "logs.jsonl").read_text(encoding="utf-8").split("\n"):
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return found


def first_readable(run_dir: pathlib.Path, which: str, read: Callable[[pathlib.Path], T]) -> T:
    """What `read` gives for the checkpoint that is meant, or for the next best if it is damaged.

    Args:
        which: "best", "last" or a step.

    Raises:
        UserError: the folder is no run, or holds no such checkpoint, or none that can be read.
    """
    from training.checkpoints import Unreadable

    damaged = None
    for checkpoint in _preferred(run_dir, which):
        try:
            return read(checkpoint)
        except Unreadable as error:
            damaged = damaged or f"{run_dir} holds no readable checkpoint: {error}."
    raise UserError(damaged or f"{run_dir} holds no readable checkpoint: none has been saved yet.")


def tensors(run_dir: pathlib.Path, which: str = "best") -> dict[str, Any]:
    """The tensors of a checkpoint by name; raises UserError as `first_readable`."""
    from training import checkpoints

    return first_readable(run_dir, which, checkpoints.read)[1]


def check_which(which: str) -> None:
    """Raises UserError unless this can name a checkpoint."""
    if which not in ("best", "last") and not which.isdecimal():
        raise UserError(f"--checkpoint is {which!r}; it must be best, last or a step, such as 250.")


def _preferred(run_dir: pathlib.Path, which: str) -> list[pathlib.Path]:
    """Checkpoints in the order in which they should be tried."""
    from training import checkpoints

    described(run_dir)
    check_which(which)
    newest = checkpoints.everything(run_dir / "checkpoints")[::-1]
    if which == "last":
        return newest
    steps = {int(c.name): c for c in newest}
    if which != "best":
        if int(which) not in steps:
            there = ", ".join(f"{step:,}" for step in sorted(steps)) or "none yet"
            raise UserError(f"{run_dir} holds no checkpoint of step {which}; it holds: {there}.")
        return [steps[int(which)]]
    for checkpoint in newest:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            best = json.loads((checkpoint / "meta.json").read_text())["best_step"]
            return ([steps[best]] if best in steps else []) + newest
    return newest
