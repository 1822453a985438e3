"""The command: many runs that differ in some flags, one after another, and which was best.

python -m training.sweep --model=gpt --preset=tiny --optimizer.learning-rate=1e-3,3e-3
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import rich.console
import rich.text
import tyro

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

from training import command, trials
from training.config import UserError, check
from training.trials import Trial

OURS = ("run-dir", "list", "describe", "dry-run", "no-export")  # the sweep's own business
DRAWS = 10  # trials of a random sweep, unless told


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """How the trials are chosen, and where they go.

    Attributes:
        kind: grid tries every combination of lists; random draws from lists and ranges.
        trials: How many to draw; default 10. A larger number goes on.
        dir: Where the trials' run folders and the results go; default sweeps/ and a name made of
            model, preset and the flags that vary.
        seed: Of the draws. The runs' own seed is --seed.
    """

    kind: Literal["grid", "random"] = "grid"
    trials: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    dir: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains many runs that differ in some flags, and says which was best.

    Takes every flag of training.run, see python -m training.run --model=gpt --help. A flag varies
    where its value is a list or a range:

      --optimizer.learning-rate=1e-3,3e-3                  a list: each of these
      --config.dropout=uniform:0:0.3                       a range (random sweeps only)
      --optimizer.learning-rate=log-uniform:1e-4:1e-2      a range, even in the logarithm
      --config.depth=uniform:1:6                           whole numbers, both ends included

    For example, a grid of four runs, and twenty draws:

      python -m training.sweep --model=gpt --preset=tiny --optimizer.learning-rate=1e-3,3e-3
          --config.dropout=0,0.1
      python -m training.sweep --model=gpt --preset=tiny --sweep.kind=random --sweep.trials=20
          --optimizer.learning-rate=log-uniform:1e-4:1e-2 --config.depth=1,2,4

    Each trial is an ordinary run in a folder of its own; training.export publishes it, and
    training.compare sets it beside others. The same command goes on after Ctrl-C, a kill or a
    failed trial: what is finished is not repeated.

    Attributes:
        sweep: How the trials are chosen, and where they go.
    """

    sweep: Sweep = Sweep()


def planned(argv: Sequence[str]) -> tuple[Sweep, dict[str, trials.Words], list[Trial]]:
    """The sweep, the flags that it hands to the runs, and its trials.

    Raises:
        UserError: a flag or value that a sweep cannot take.
        SystemExit: tyro's help (0) or its message about a value (2).
    """
    if {"--help", "-h"} & set(argv):
        tyro.cli(Flags, prog="python -m training.sweep", args=["--help"])
    flags = trials.flags_of(argv)
    ours = [f"--{f}={' '.join(w)}" for f, w in flags.items() if f.partition(".")[0] == "sweep"]
    flags = {f: w for f, w in flags.items() if f.partition(".")[0] != "sweep"}
    command.check_names(ours, [f"sweep.{f.name}" for f in dataclasses.fields(Sweep)])
    sweep = tyro.cli(Flags, prog="python -m training.sweep", args=ours).sweep
    for flag in OURS:
        if flag in flags:
            raise UserError(f"--{flag} is not for a sweep: each trial is a run in its own folder.")
    if not trials.varied(flags):
        raise UserError(
            "Nothing varies; give at least one flag a list or a range, such as "
            "--optimizer.learning-rate=1e-3,3e-3. --help explains."
        )
    if sweep.kind == "grid":
        if sweep.trials is not None:
            raise UserError(
                f"--sweep.trials={sweep.trials} is for --sweep.kind=random; a grid has as many "
                "trials as there are combinations."
            )
        return sweep, flags, trials.grid(flags)
    count = DRAWS if sweep.trials is None else sweep.trials
    check(count >= 1, "--sweep.trials", count, "be at least 1")
    return sweep, flags, trials.draws(flags, count=count, seed=sweep.seed)


def checked(planned: Sequence[Trial]) -> tuple[Any, str]:
    """Parses the flags of every trial; gives the first one's, and the number that judges the runs.

    Raises:
        UserError: a trial cannot be; the sentence says which.
        SystemExit: tyro's message about a value.
    """
    from training import flags

    parsed = []
    for trial in planned:
        try:
            parsed.append(flags.parse(trial.argv))
        except UserError as error:
            raise UserError(f"{trial.name}: {error} No trial was begun.") from None
        except SystemExit:
            print(f"training.sweep: {trial.name}: no trial was begun.", file=sys.stderr)
            raise
    given, recipe = parsed[0]
    return given, recipe.watch


def folder_of(sweep: Sweep, given: Any, fields: Sequence[str]) -> pathlib.Path:
    """Where a sweep goes unless it is told: sweeps/gpt-tiny-learning-rate-dropout."""
    fixed = [getattr(given, name) for name in ("model", "preset") if name not in fields]
    return sweep.dir or pathlib.Path("sweeps") / "-".join([*fixed, *trials.short(fields)])


def go(sweep: Sweep, flags: Mapping[str, trials.Words], planned: Sequence[Trial]) -> int:
    """Runs what is not finished, then shows the results; gives the exit status."""
    from training import sweep_folder

    given, watch = checked(planned)
    place = sweep_folder.Place(
        folder=folder_of(sweep, given, list(trials.varied(flags))), watch=watch
    )
    console = rich.console.Console(soft_wrap=True)
    with place.held(flags) as lock, signals_passed_on() as (running, asked):
        console.print(f"{len(planned)} trials in {place.folder}", highlight=False)
        failures: dict[str, str] = {}
        for number, trial in enumerate(planned, 1):
            title = f"{number}/{len(planned)}  {trial.name}"
            if not place.is_finished(trial):
                status = run_trial(place, trial, lock, running, asked, Line(console, title))
                if asked:
                    break
                if not place.is_finished(trial):
                    failures[trial.name] = place.sentence(trial, status)
            console.print(f"{title}  {place.told(trial, failures)}", highlight=False, markup=False)
            place.write(planned, failures)
    if asked:
        console.print(
            f"Stopped by {signal.Signals(asked[0]).name} in trial {number} of {len(planned)}. The "
            "same command goes on from there.",
            highlight=False,
        )
        return 128 + asked[0]
    place.show(planned, failures, console)
    return 1 if failures else 0


class Line:
    """Where a trial's own lines go: the newest beside a spinner, where there is a terminal."""

    def __init__(self, console: rich.console.Console, title: str) -> None:
        self.title = title
        self.status = console.status(title) if console.is_terminal else None

    def __enter__(self) -> "Line":
        if self.status:
            self.status.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.status:
            self.status.stop()

    def show(self, line: str) -> None:
        """Shows a line of progress."""
        if self.status and line.startswith("step "):
            self.status.update(rich.text.Text(f"{self.title}  {line.strip()}"))


@contextlib.contextmanager
def signals_passed_on() -> Iterator[tuple[list[subprocess.Popen[str]], list[int]]]:
    """Sends SIGINT and SIGTERM on to the running trial, which saves and ends.

    Yields:
        The running processes, for the caller to keep, and the signals that have come.
    """
    running: list[subprocess.Popen[str]] = []
    asked: list[int] = []

    def pass_on(number: int, frame: Any) -> None:
        asked.append(number)
        for process in running:
            process.send_signal(number)

    old = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield running, asked
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def run_trial(
    place: Any, trial: Trial, lock: int, running: list[Any], asked: list[int], line: Line
) -> int:
    """Runs `training.run` for a trial, its output into a file beside its folder; gives its status.

    The process holds the sweep's lock as well: where the sweep is killed, nobody else may begin
    until the trial, too, has ended.
    """
    argv = [*trial.argv, f"--run-dir={place.run_dir(trial)}", "--no-export"]
    with (
        place.output(trial).open("w", encoding="utf-8") as output,
        line,
        subprocess.Popen(
            [sys.executable, "-m", "training.run", *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=(lock,),
            start_new_session=True,  # a terminal's Ctrl-C comes once, from here
        ) as process,
    ):
        running[:] = [process]
        if asked:  # it came before the process could be told
            process.send_signal(asked[-1])
        for words in process.stdout or ():
            output.write(words)
            output.flush()
            line.show(words)
        status = process.wait()
        running.clear()
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit status."""

    def work() -> int:
        sweep, flags, plan = planned(sys.argv[1:] if argv is None else argv)
        from training import quiet

        quiet.import_tensorflow()
        return go(sweep, flags, plan)

    return command.guard(
        "training.sweep",
        work,
        failed="finished trials are kept, and the same command goes on",
        interrupted="the same command goes on",
    )


if __name__ == "__main__":
    sys.exit(main())
