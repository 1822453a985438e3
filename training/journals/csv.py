"""logs.csv: the numbers of logs.jsonl as a table, written anew when the run ends or stops."""

import csv
import io

from training import runs
from training.config import Run
from training.files import write_atomically
from training.journals import Entry


class Csv:
    """A sink. It is made from logs.jsonl, so there is nothing to wind back."""

    def __init__(self, run: Run) -> None:
        self.folder = run.run_dir

    def write(self, entry: Entry) -> None:
        pass

    def rewind(self, step: int, *, evaluated: bool = True) -> None:
        pass

    def close(self) -> None:
        """A row an entry, a column a name; texts are left out, and what is not there is empty."""
        entries = [
            {k: v for k, v in entry.items() if k == "split" or not isinstance(v, str)}
            for entry in runs.entries(self.folder)
        ]
        if entries:
            text = io.StringIO()
            columns = dict.fromkeys(name for entry in entries for name in entry)
            table = csv.DictWriter(text, list(columns), lineterminator="\n")
            table.writeheader()
            table.writerows(entries)
            write_atomically(self.folder / "logs.csv", text.getvalue())


def make(run: Run) -> Csv:
    """The sink of a run."""
    return Csv(run)
