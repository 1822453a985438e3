"""The command: runs side by side, in a table and in a picture.

python -m training.compare runs/gpt-char-docs runs/second --out=compare.png
"""

import dataclasses
import json
import math
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import rich.box
import rich.console
import rich.table
import tyro

from training import command, runs
from training.config import UserError, flat

PLACES = ("run_dir", "export_dir")  # differ always, and say nothing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Shows in what runs differ and how far each has come; draws their losses with --out.

    Runs that are still training may be compared too. Only the picture is written.

    Attributes:
        run_dirs: Folders that training.run wrote, such as runs/gpt-char-docs runs/second.
        out: A picture to draw: .png, .svg or .pdf.
        json: Prints JSON in place of the table.
    """

    run_dirs: Annotated[
        tyro.conf.Positional[tuple[pathlib.Path, ...]], tyro.conf.arg(metavar="RUN [RUN ...]")
    ]
    out: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    json: tyro.conf.FlagCreatePairsOff[bool] = False


def names(folders: Sequence[pathlib.Path]) -> list[str]:
    """Folders by their own names, or as they were given where two are called alike."""
    own = [folder.resolve().name for folder in folders]
    return own if len(set(own)) == len(own) else [str(folder) for folder in folders]


def differing(stored: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Field -> run -> value, for the fields in which the runs are not all alike."""
    fields = {name: flat(run) for name, run in stored.items()}
    names = dict.fromkeys(field for values in fields.values() for field in values)
    rows = {f: {run: values.get(f) for run, values in fields.items()} for f in names}
    return {
        f: row
        for f, row in rows.items()
        if f not in PLACES and len({json.dumps(v) for v in row.values()}) > 1
    }


def numbers(stored: Mapping[str, Any], entries: Sequence[runs.Entry]) -> dict[str, Any]:
    """How far a run has come and how well: None where nothing is logged yet."""
    watch = flat(stored).get("recipe.watch", "loss")
    last = {split: _last(entries, split) for split in ("train", "eval")}
    best = best_of(entries, watch)
    return {
        "step": max((e["step"] for e in entries), default=0),
        "steps": flat(stored).get("recipe.steps"),
        "training loss": last["train"],
        "held-out loss": last["eval"],
        f"best {watch}": best[0] if best else None,
        "at step": best[1] if best else None,
    }


def best_of(entries: Sequence[runs.Entry], watch: str) -> tuple[float, int] | None:
    """The lowest watched number of all evaluations, and its step."""
    found = [(e[watch], e["step"]) for e in entries if e["split"] == "eval" and watch in e]
    return min((f for f in found if f[0] is not None and math.isfinite(f[0])), default=None)


def _last(entries: Sequence[runs.Entry], split: str) -> float | None:
    losses = [e["loss"] for e in entries if e["split"] == split]
    return losses[-1] if losses else None


def table(columns: Mapping[str, Mapping[str, Any]]) -> rich.table.Table:
    """A row a field or number, a column a run."""
    shown = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    shown.add_column("", no_wrap=True)
    for name in columns:
        shown.add_column(name, justify="right", overflow="fold")
    rows = dict.fromkeys(row for values in columns.values() for row in values)
    for row in rows:
        shown.add_row(row, *(text(values.get(row)) for values in columns.values()))
    return shown


def text(value: Any) -> str:
    """A number to five digits, steps with commas, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def check_picture(file: pathlib.Path | None) -> None:
    """Raises UserError where a picture could not be written, before anything is worked out."""
    if file is None:
        return
    from training.curves import FORMATS

    if file.suffix not in FORMATS:
        raise UserError(f"--out={file} must end in {', '.join(FORMATS)}.")
    if not file.parent.is_dir():
        raise UserError(f"--out={file}: there is no folder {file.parent}.")


def compare(flags: Flags) -> int:
    """Reads the runs, prints, draws; gives the exit status."""
    if not flags.run_dirs:
        raise UserError("No run was given; name run folders, such as runs/gpt-char-docs.")
    check_picture(flags.out)
    named = dict(zip(names(flags.run_dirs), flags.run_dirs, strict=True))
    stored = {name: runs.described(folder) for name, folder in named.items()}
    logs = {name: runs.entries(folder) for name, folder in named.items()}
    fields = differing(stored)
    columns = {name: numbers(run, logs[name]) for name, run in stored.items()}
    if flags.json:
        print(json.dumps({"fields": fields, "numbers": columns}, indent=2))
    else:
        shown = {name: {f: row[name] for f, row in fields.items()} for name in stored}
        together = {name: {**shown[name], **columns[name]} for name in stored}
        rich.console.Console().print(table(together))
    if flags.out is not None:
        from training import curves

        curves.compared(flags.out, logs)
        print(f"Drawn to {flags.out}.", file=sys.stderr if flags.json else sys.stdout)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit status."""

    def work() -> int:
        words = sys.argv[1:] if argv is None else argv
        return compare(command.parse(Flags, words, name="training.compare"))

    return command.guard("training.compare", work)


if __name__ == "__main__":
    sys.exit(main())
