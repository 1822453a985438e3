"""The folder of a sweep: what it was asked, its trials' run folders, and the results.

sweeps/NAME/sweep.json         the flags all trials share, and which vary
sweeps/NAME/TRIAL/             a run folder; TRIAL.txt beside it has what the run printed
sweeps/NAME/results.json       and results.csv, results.png: the trials, best first
"""

import contextlib
import csv
import dataclasses
import io
import json
import pathlib
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import rich.box
import rich.console
import rich.table

from training import compare, runs, trials
from training.config import UserError
from training.files import locked, write_atomically
from training.trials import Trial

Row = dict[str, Any]  # a trial's line in results.json


@dataclasses.dataclass(frozen=True)
class Place:
    """One sweep on disk.

    Attributes:
        watch: The evaluation number that says which trial is best (lowest).
    """

    folder: pathlib.Path
    watch: str

    @contextlib.contextmanager
    def held(self, flags: Mapping[str, trials.Words]) -> Iterator[int]:
        """Takes the folder for this sweep alone; yields the lock, a file descriptor.

        Raises:
            UserError: the folder is no sweep's, another sweep's, or somebody is at work in it.
        """
        file = self.folder / "sweep.json"
        if not file.exists() and self.folder.is_dir() and any(self.folder.iterdir()):
            raise UserError(
                f"{self.folder} holds files but no sweep.json, so it is not a sweep; give another "
                "--sweep.dir."
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise UserError(f"{self.folder} is a file; give another --sweep.dir.") from None
        busy = (
            f"In {self.folder} another sweep, or a trial that it left behind, is still at work; "
            "wait for its end, or give another --sweep.dir."
        )
        lock_file = self.folder / "sweep.lock"
        lock_file.touch()
        with locked(lock_file, busy) as lock:
            self._check_same(file, flags)
            yield lock

    def _check_same(self, file: pathlib.Path, flags: Mapping[str, trials.Words]) -> None:
        vary = sorted(trials.varied(flags))
        here = {f: " ".join(words) for f, words in flags.items() if f not in vary}
        if not file.exists():
            write_atomically(file, json.dumps({"fixed": here, "varied": vary}, indent=2) + "\n")
            return
        try:
            stored = json.loads(file.read_text())
            there, varied = dict(stored["fixed"]), list(stored["varied"])
        except (ValueError, TypeError, KeyError):
            raise UserError(
                f"{file} does not describe a sweep; give another --sweep.dir."
            ) from None
        different = [
            f"--{f} is {there.get(f, 'not given')} there and {here.get(f, 'not given')} here"
            for f in sorted(there.keys() | here.keys())
            if there.get(f) != here.get(f)
        ]
        if varied != vary and not different:
            different = [f"what varies is {', '.join(varied)} there and {', '.join(vary)} here"]
        if different:
            raise UserError(
                f"{self.folder} holds another sweep: {different[0]}; give another --sweep.dir. "
                "(The values of what varies may change.)"
            )

    def run_dir(self, trial: Trial) -> pathlib.Path:
        """The trial's run folder."""
        return self.folder / trial.name

    def output(self, trial: Trial) -> pathlib.Path:
        """The file with what the trial's run printed."""
        return self.folder / f"{trial.name}.txt"

    def is_finished(self, trial: Trial) -> bool:
        """Whether the trial's last step is evaluated and saved."""
        run_dir = self.run_dir(trial)
        if not (run_dir / "run.json").exists():
            return False
        steps = runs.described(run_dir)["recipe"]["steps"]
        ends = [e for e in runs.entries(run_dir) if e["split"] == "eval" and e["step"] == steps]
        return bool(ends) and (run_dir / "checkpoints" / f"{steps:08d}").exists()

    def sentence(self, trial: Trial, status: int) -> str:
        """Why a run ended before its time: its last words."""
        if status < 0:
            return f"ended by {signal.Signals(-status).name}"
        lines = self.output(trial).read_text(encoding="utf-8").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else f"ended with status {status}"

    def row(self, trial: Trial, failures: Mapping[str, str]) -> Row:
        """What is known of a trial now."""
        entries = runs.entries(self.run_dir(trial))
        best = compare.best_of(entries, self.watch)
        finished = self.is_finished(trial)
        status = "finished" if finished else "failed" if trial.name in failures else "unfinished"
        return {
            "trial": trial.name,
            "values": dict(trial.values),
            "status": status,
            "watch": self.watch,
            "best": best[0] if best else None,
            "best_step": best[1] if best else None,
            "step": max((e["step"] for e in entries), default=0),
            "seconds": round(sum(e.get("seconds", 0.0) for e in entries), 3),
            "run_dir": str(self.run_dir(trial)),
            "failure": failures.get(trial.name),
        }

    def rows(self, planned: Sequence[Trial], failures: Mapping[str, str]) -> list[Row]:
        """All trials: the finished ones by their best number, then the others."""

        def rank(row: Row) -> tuple[bool, bool, float]:
            best = row["best"]
            return row["status"] != "finished", best is None, best or 0.0

        return sorted((self.row(trial, failures) for trial in planned), key=rank)

    def told(self, trial: Trial, failures: Mapping[str, str]) -> str:
        """A trial's end in a few words."""
        if trial.name in failures:
            return f"failed: {failures[trial.name]}"
        row = self.row(trial, failures)
        if row["best"] is None:
            return f"no evaluation gave a finite {self.watch}"
        return f"best {self.watch} {row['best']:.4f} at step {row['best_step']:,}"

    def write(self, planned: Sequence[Trial], failures: Mapping[str, str]) -> None:
        """Writes results.json and results.csv."""
        rows = self.rows(planned, failures)
        write_atomically(self.folder / "results.json", json.dumps(rows, indent=2) + "\n")
        flat = [{**row.pop("values"), **row} for row in rows]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
        write_atomically(self.folder / "results.csv", text.getvalue())

    def show(
        self,
        planned: Sequence[Trial],
        failures: Mapping[str, str],
        console: rich.console.Console,
    ) -> None:
        """Prints the table, draws the picture, and says how to publish the best."""
        from training import curves
        from training.command import program

        rows = self.rows(planned, failures)
        flags = list(rows[0]["values"])
        fields = dict(zip(flags, trials.short(flags), strict=True))
        console.print(table(rows, fields, self.watch))
        for name, sentence in failures.items():
            console.print(f"{name} failed: {sentence}", highlight=False, markup=False)
        if failures:
            console.print("The same command tries what failed again.", highlight=False)
        logs = {row["trial"]: runs.entries(pathlib.Path(row["run_dir"])) for row in rows}
        picture = self.folder / "results.png"
        curves.swept(picture, rows, fields, logs)
        console.print(f"Written: {self.folder}/results.json, .csv and .png.", highlight=False)
        if rows[0]["status"] == "finished" and rows[0]["best"] is not None:
            best = shlex.quote(rows[0]["run_dir"])
            console.print(
                f"To publish the best trial:\n\n{program()} -m training.export {best}\n",
                highlight=False,
                markup=False,
            )


def table(rows: Sequence[Row], fields: Mapping[str, str], watch: str) -> rich.table.Table:
    """A row a trial, best first."""
    shown = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for name in fields.values():
        shown.add_column(name, justify="right", no_wrap=True)
    for name in (f"best {watch}", "at step", "seconds", ""):
        shown.add_column(name, justify="right")
    for row in rows:
        values = [row["values"][flag] for flag in fields]
        numbers = [compare.text(row[n]) for n in ("best", "best_step")]
        shown.add_row(*values, *numbers, f"{row['seconds']:.1f}", row["status"])
    return shown
