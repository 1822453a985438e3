"""logs.jsonl: one flat JSON object a line; what plots, reports and other journals are made from."""

import contextlib
import json
import math
import pathlib
from collections.abc import Iterator
from typing import Any

from training.config import Run
from training.files import write_atomically
from training.journals import Entry, is_kept

NAME = "logs.jsonl"


class Jsonl:
    """A sink. A number that is NaN or infinite is written as null, for JSON knows neither."""

    def __init__(self, file: pathlib.Path) -> None:
        self.file = file

    def write(self, entry: Entry) -> None:
        numbers = {k: v if math.isfinite(v) else None for k, v in entry.numbers.items()}
        line = {"step": entry.step, "split": entry.split, **numbers, **entry.texts}
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")

    def rewind(self, step: int, *, evaluated: bool) -> None:
        """Also drops a half-written last line."""
        if self.file.exists():
            kept = [
                line
                for entry, line in _lines(self.file)
                if is_kept(entry["step"], entry["split"], step, evaluated=evaluated)
            ]
            write_atomically(self.file, "".join(line + "\n" for line in kept))

    def close(self) -> None:
        pass


def make(run: Run) -> Jsonl:
    """The sink of a run."""
    return Jsonl(run.run_dir / NAME)


def read(run_dir: pathlib.Path) -> list[dict[str, Any]]:
    """The entries of a run's log, in order; none where there is no log."""
    file = run_dir / NAME
    return [entry for entry, _ in _lines(file)] if file.exists() else []


def _lines(file: pathlib.Path) -> Iterator[tuple[dict[str, Any], str]]:
    for line in file.read_text(encoding="utf-8").split("\n"):
        with contextlib.suppress(ValueError):
            yield json.loads(line), line
