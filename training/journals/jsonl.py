"""logs.jsonl: one flat JSON object a line; what plots, reports and other journals are made from."""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from training import runs
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
            file.write(_line(line))

    def rewind(self, step: int, *, evaluated: bool = True) -> None:
        """Also drops a half-written last line."""
        if self.file.exists():
            lines = (
                _line(entry)
                for entry in runs.entries(self.file.parent)
                if is_kept(entry["step"], entry["split"], step, evaluated=evaluated)
            )
            write_atomically(self.file, "".join(lines))

    def close(self) -> None:
        pass


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n"


def make(run: Run) -> Jsonl:
    """The sink of a run."""
    return Jsonl(run.run_dir / NAME)
