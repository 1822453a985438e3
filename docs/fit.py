"""The table of docs/fit.md, from what `benchmarks.fit` recorded.

python -m docs.fit [--check]
"""

import json
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from docs import blocks, figures

PAGE = pathlib.Path(__file__).with_name("fit.md")
RECORD = figures.RESULTS / "fit.json"
NAMES = {"fit": "`Model.fit`", "ours": "this trainer"}


def table(record: Mapping[str, Any]) -> str:
    """A row a question; errors as notes below; then how and when it came about."""
    answers = record["answers"]
    ways = [(who, strategy) for who, by in next(iter(answers.values())).items() for strategy in by]
    rows = [
        f"| asked | {' | '.join(f'{NAMES[who]}, {strategy}' for who, strategy in ways)} |",
        f"|---|{'---|' * len(ways)}",
    ]
    notes: list[str] = []
    for question, title in record["questions"].items():
        cells = [cell(answers[question][who][strategy], notes) for who, strategy in ways]
        rows.append(f"| {title} | {' | '.join(cells)} |")
    errors = [f"{number}. {error}" for number, error in enumerate(notes, 1)]
    versions = ", ".join(f"{name} {record['versions'][name]}" for name in ("keras", "tensorflow"))
    return "\n".join([*rows, "", *errors, "", f"{versions}. {figures.made(record)}"])


def cell(answer: Mapping[str, str], notes: list[str]) -> str:
    """One answer; an error becomes a note, each error once."""
    if answer["outcome"] != "fails":
        return f"{answer['outcome']}: {answer['detail']}"
    error = f"`{answer['detail'].replace('`', chr(39))}`"
    if error not in notes:
        notes.append(error)
    return f"**fails** ({notes.index(error) + 1})"


if __name__ == "__main__":
    text = table(json.loads(RECORD.read_text(encoding="utf-8")))
    sys.exit(blocks.main("fit", text, page=PAGE))
