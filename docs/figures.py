"""The figures in the README: what `docs/results/*.json` recorded, one table a file.

python -m docs.figures [--check]

A record holds either `numbers` (name -> value) or what `benchmarks.record` writes: `figures`
(group -> peer -> median, low, high) in one `unit`.
"""

import json
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from docs import blocks

RESULTS = pathlib.Path(__file__).parent / "results"


def figures(folder: pathlib.Path = RESULTS) -> str:
    """All records of numbers in the order of their file names."""
    files = sorted(folder.glob("*.json"))
    found = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    records = [record for record in found if record.get("figures") or record.get("numbers")]
    return "\n\n".join(map(section, records)) or "None recorded yet."


def section(record: Mapping[str, Any]) -> str:
    """One record: its numbers, then how, when and where they came about."""
    table = peers(record) if "figures" in record else numbers(record)
    title = record.get("title") or record["name"]
    return "\n".join([f"**{title}**", "", *table, "", *compared(record), made(record)])


def made(record: Mapping[str, Any]) -> str:
    """One line: the command, the day, the commit and the machine."""
    commit = (record.get("commit") or "unknown")[:10] + (" and changes" * bool(record.get("dirty")))
    machine = ", ".join(f"{name} {shown(value)}" for name, value in flat(record["machine"]))
    return f"`{record['command']}`, {record['date'][:10]}, commit {commit}; {machine}."


def compared(record: Mapping[str, Any]) -> list[str]:
    """A sentence, or one a group: what we reach, divided by what others reach in the same round."""
    ratios = record.get("ratios", {})
    groups = ratios if ratios.keys() <= record.get("figures", {}).keys() else {"": ratios}
    lines = []
    for group, by_peer in groups.items():
        ours = [
            f"{shown(values['ours']['median'])} of {peer}"
            for peer, values in by_peer.items()
            if "ours" in values and peer != "ours"
        ]
        said = ", ".join(filter(None, ["Ours", group, f"in {record.get('unit', '')}"]))
        lines += [f"{said}: {', '.join(ours)} (median over the rounds).", ""] * bool(ours)
    return lines


def numbers(record: Mapping[str, Any]) -> list[str]:
    """A table of name and value."""
    rows = [f"| {name} | {shown(value)} |" for name, value in flat(record["numbers"])]
    return ["| measured | value |", "|---|--:|", *rows]


def peers(record: Mapping[str, Any]) -> list[str]:
    """A table of group, peer, median and range."""
    rows = [
        f"| {group} | {peer} | {shown(v['median'])} | {shown(v['low'])} to {shown(v['high'])} |"
        for group, values in record["figures"].items()
        for peer, v in values.items()
    ]
    return [f"| measured | who | {record['unit']}, median | range |", "|---|---|--:|--:|", *rows]


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested names joined by blanks, underscores as blanks."""
    for key, value in values.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from flat(value, f"{name} ")
        else:
            yield name, value


def shown(value: Any) -> str:
    """Whole numbers by thousands, others to four digits."""
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{round(value):,}"
    return f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(blocks.main("figures", figures()))
