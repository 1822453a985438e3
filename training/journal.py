"""What a run says: run.json, logs.jsonl, TensorBoard, and one place on the screen."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import rich.console
import rich.progress
import tensorflow as tf

from training.config import Run, to_json
from training.step import WEIGHT


class Journal:
    """The record of one run.

    Args:
        run: The run; its folder is made.
        unit: What a batch's weight counts, for the speed: "tokens" or "examples".
        console: Where to speak; a terminal gets a live bar, anything else a line an interval.
        writes: Whether this process writes and speaks; of several workers only the chief does.
    """

    def __init__(
        self, run: Run, *, unit: str, console: rich.console.Console, writes: bool = True
    ) -> None:
        self.run, self.unit, self.writes = run, unit, writes
        self.console = console if writes else rich.console.Console(quiet=True)
        self.bar: rich.progress.Progress | None = None
        self.task = rich.progress.TaskID(0)
        self.held_out: float | None = None
        self.logs = run.run_dir / "logs.jsonl"
        if not writes:
            return
        run.run_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(run.run_dir / "run.json", to_json(run))
        self.board = tf.summary.create_file_writer(str(run.run_dir / "tensorboard"))

    def say(self, sentence: str) -> None:
        """One line for the user."""
        self.console.print(sentence, markup=False, highlight=False)

    @contextlib.contextmanager
    def live(self, step: int) -> Iterator[None]:
        """Shows the bar while the run goes, where there is a terminal."""
        if not self.console.is_terminal:
            yield
            return
        columns = (
            rich.progress.TextColumn("[bold]step {task.completed:,.0f}/{task.total:,.0f}"),
            rich.progress.BarColumn(bar_width=None),
            rich.progress.TextColumn("{task.fields[text]}"),
            rich.progress.TimeRemainingColumn(compact=True),
        )
        with rich.progress.Progress(*columns, console=self.console, transient=False) as self.bar:
            self.task = self.bar.add_task(
                "", total=self.run.recipe.steps, completed=step, text="compiling the first steps"
            )
            yield
        self.bar = None

    def train(self, step: int, logs: dict[str, float], *, count: int, seconds: float) -> None:
        """The means of the `count` steps that ended at `step` and took `seconds`."""
        speed = logs[WEIGHT] / seconds
        timed = {f"{self.unit}_per_second": speed, "seconds": seconds}
        self._write(step, "train", {**_numbers(logs), **timed})
        text = f"loss {logs['loss']:.3f}"
        if self.held_out is not None:
            text += f"  val loss {self.held_out:.3f}"
        text += f"  {speed:,.0f} {self.unit}/s"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, text=text)
        else:
            left = seconds / count * (self.run.recipe.steps - step)
            self.say(f"step {step:,}/{self.run.recipe.steps:,}  {text}  {left:.0f} s left")

    def eval(self, step: int, logs: dict[str, float], shown: dict[str, Any]) -> None:
        """An evaluation's means, and what the evaluators show: numbers and texts."""
        self.held_out = logs["loss"]
        numbers = {k: v for k, v in shown.items() if isinstance(v, float)}
        texts = {k: v for k, v in shown.items() if isinstance(v, str)}
        self._write(step, "eval", {**_numbers(logs), **numbers}, texts)
        self.say(f"step {step:,}  val loss {logs['loss']:.4f}")
        for name, text in texts.items():
            self.console.rule(f"{name} at step {step:,}", style="dim")
            self.say(text)
            self.console.rule(style="dim")

    def rewind(self, step: int) -> None:
        """Drops the lines after `step`, and a half-written last one: the run goes on from there."""
        if not self.writes or not self.logs.exists():
            return
        kept = []
        for line in self.logs.read_text(encoding="utf-8").split("\n"):
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry["step"] <= step:
                    kept.append(line + "\n")
                    if entry["split"] == "eval":
                        self.held_out = entry["loss"]
        write_atomically(self.logs, "".join(kept))

    def _write(
        self, step: int, split: str, numbers: dict[str, float], texts: dict[str, str] | None = None
    ) -> None:
        if not self.writes:
            return
        entry = {"step": step, "split": split, **numbers, **(texts or {})}
        with self.logs.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        with self.board.as_default(step):
            for name, value in numbers.items():
                tf.summary.scalar(f"{split}/{name}", value)
            for name, text in (texts or {}).items():
                tf.summary.text(f"{split}/{name}", text)
        self.board.flush()


def _numbers(logs: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in logs.items() if name != WEIGHT}


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
