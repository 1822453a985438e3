"""What a run says: run.json, its journals, and one place on the screen."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import rich.console
import rich.progress

from training import journals, runs
from training.config import Run, to_json
from training.files import write_atomically
from training.journals import Entry
from training.step import WEIGHT

NOTHING: Mapping[str, float] = MappingProxyType({})


class Journal:
    """The record of one run: a front for its journals (`training.journals`) and the screen.

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
        self.sinks: list[journals.Sink] = []
        if writes:
            run.run_dir.mkdir(parents=True, exist_ok=True)
            write_atomically(run.run_dir / "run.json", to_json(run))
            self.sinks = journals.make(run)

    def say(self, sentence: str) -> None:
        """One line for the user."""
        self.console.print(sentence, markup=False, highlight=False)

    @contextlib.contextmanager
    def live(self, step: int) -> Iterator[None]:
        """Shows the bar while the run goes, where there is a terminal; closes the journals."""
        with contextlib.ExitStack() as stack:
            for sink in self.sinks:
                stack.callback(sink.close)
            if self.console.is_terminal:
                stack.enter_context(self._bar(step))
            yield

    @contextlib.contextmanager
    def _bar(self, step: int) -> Iterator[None]:
        columns = (
            rich.progress.TextColumn("[bold]step {task.completed:,.0f}/{task.total:,.0f}"),
            rich.progress.BarColumn(bar_width=None),
            rich.progress.TextColumn("{task.fields[text]}"),
            rich.progress.TimeRemainingColumn(compact=True),
        )
        with rich.progress.Progress(
            *columns, console=self.console, refresh_per_second=2
        ) as self.bar:
            self.task = self.bar.add_task(
                "", total=self.run.recipe.steps, completed=step, text="compiling the first steps"
            )
            yield
        self.bar = None

    def train(
        self,
        step: int,
        logs: Mapping[str, float],
        *,
        count: int,
        seconds: float,
        machine: Mapping[str, float] = NOTHING,
    ) -> None:
        """The means of the `count` steps that ended at `step` and took `seconds`.

        Args:
            machine: What else is known of how the machine did, see `training.speed`.
        """
        speed = logs[WEIGHT] / seconds
        measured = {f"{self.unit}_per_second": speed, "seconds": seconds, **machine}
        self._write(Entry(step=step, split="train", numbers={**_numbers(logs), **measured}))
        text = f"loss {logs['loss']:.3f}"
        if self.held_out is not None:
            text += f"  val loss {self.held_out:.3f}"
        text += f"  {speed:,.0f} {self.unit}/s"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, text=text)
        else:
            left = seconds / count * (self.run.recipe.steps - step)
            self.say(f"step {step:,}/{self.run.recipe.steps:,}  {text}  {left:.0f} s left")

    def eval(self, step: int, logs: Mapping[str, float], shown: Mapping[str, Any]) -> None:
        """An evaluation's means, and what the evaluators show: numbers, texts and pictures."""
        self.held_out = logs["loss"]
        numbers = {k: v for k, v in shown.items() if isinstance(v, float)}
        texts = {k: v for k, v in shown.items() if isinstance(v, str)}
        pictures = {k: v for k, v in shown.items() if isinstance(v, np.ndarray)}
        numbers = {**_numbers(logs), **numbers}
        self._write(Entry(step=step, split="eval", numbers=numbers, texts=texts, pictures=pictures))
        self.say(f"step {step:,}  val loss {logs['loss']:.4f}")
        for name, text in texts.items():
            self.console.rule(f"{name} at step {step:,}", style="dim")
            self.say(text)
            self.console.rule(style="dim")
        for name in pictures:
            self.say(f"{name} at step {step:,}: {self.run.run_dir / 'samples'}")

    def rewind(self, step: int, *, evaluated: bool = True) -> None:
        """Drops what came after `step` everywhere: the run goes on from there.

        Args:
            evaluated: False where the step's own evaluation is to come again.
        """
        for sink in self.sinks:
            sink.rewind(step, evaluated=evaluated)
        if self.writes:
            held_out = [e["loss"] for e in runs.entries(self.run.run_dir) if e["split"] == "eval"]
            self.held_out = held_out[-1] if held_out else None

    def machine(self, facts: Mapping[str, Any]) -> None:
        """Writes machine.json: where the run goes, and in which versions of what."""
        if self.writes:
            write_atomically(self.run.run_dir / "machine.json", json.dumps(facts, indent=2) + "\n")

    def _write(self, entry: Entry) -> None:
        for sink in self.sinks:
            sink.write(entry)


def _numbers(logs: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in logs.items() if name != WEIGHT}
