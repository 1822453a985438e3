"""Pictures of several runs: their losses over the steps, and what each field of a sweep does."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.runs import Entry

matplotlib.use("Agg")

FORMATS = (".pdf", ".png", ".svg")
SPLITS = {"train": "training loss", "eval": "held-out loss"}
MOST_TICKS = 6  # values of a field that are written out
GREY, BEST = "#9aa5ad", "#c1440e"


def curves(
    axes: Axes,
    runs: Mapping[str, Sequence[Entry]],
    *,
    split: str,
    x: str = "step",
    colours: Mapping[str, Any] | None = None,
) -> None:
    """Draws the loss of each run by its name.

    Args:
        runs: Name -> lines of logs.jsonl.
        split: "train" or "eval".
        x: "step", or "seconds" of training, counted up over the log.
        colours: Name -> colour; matplotlib's own order where it is None.
    """
    for name, entries in runs.items():
        places = seconds(entries) if x == "seconds" else {e["step"]: e["step"] for e in entries}
        points = [(places[e["step"]], e["loss"]) for e in entries if e["split"] == split]
        points = [p for p in points if p[1] is not None and math.isfinite(p[1])]
        marker = "o" if split == "eval" and len(points) < 30 else ""
        style = {"color": colours[name]} if colours else {}
        axes.plot(
            *zip(*points, strict=True) if points else ([], []),
            label=name,
            marker=marker,
            markersize=3,
            linewidth=1.4,
            **style,
        )
    axes.set_xlabel("step" if x == "step" else "seconds of training")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=x == "step"))
    axes.set_ylabel(SPLITS[split])
    tidy(axes)


def seconds(entries: Sequence[Entry]) -> dict[int, float]:
    """Step -> seconds of training up to it."""
    passed, places = 0.0, {}
    for entry in entries:
        passed += entry["seconds"] if entry["split"] == "train" else 0.0
        places[entry["step"]] = passed
    return places


def are_timed(runs: Mapping[str, Sequence[Entry]]) -> bool:
    """Whether every log says how long its steps took; older logs do not."""
    lines = [e for entries in runs.values() for e in entries if e["split"] == "train"]
    return bool(lines) and all("seconds" in e for e in lines)


def compared(file: pathlib.Path, runs: Mapping[str, Sequence[Entry]]) -> None:
    """Training and held-out loss side by side, over steps and, where logged, over seconds."""
    rows = ("step", "seconds") if are_timed(runs) else ("step",)
    figure = Figure(figsize=(11, 3.6 * len(rows) + 0.25 * len(runs)), layout="constrained")
    panels = figure.subplots(len(rows), 2, squeeze=False, sharey="col")
    for row, x in zip(panels, rows, strict=True):
        for axes, split in zip(row, SPLITS, strict=True):
            curves(axes, runs, split=split, x=x)
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", frameon=False)
    figure.savefig(file, dpi=120)


def swept(
    file: pathlib.Path,
    rows: Sequence[Mapping[str, Any]],
    fields: Mapping[str, str],
    runs: Mapping[str, Sequence[Entry]],
) -> None:
    """The best number over each varied field, and the learning curves, the best run marked.

    Args:
        rows: The sweep's results, best first: `values` by flag, `best`.
        fields: Varied flag -> its short name.
        runs: Trial's name -> lines of its log, best first.
    """
    count = len(fields) + 1
    columns = min(count, 3)
    height = math.ceil(count / columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * height), layout="constrained")
    panels = list(figure.subplots(height, columns, squeeze=False, sharey=False).flat)
    for axes, (flag, name) in zip(panels, fields.items(), strict=False):
        field(axes, [(row["values"][flag], row["best"]) for row in rows if row["best"] is not None])
        axes.set_xlabel(name)
        axes.set_ylabel(f"best {rows[0]['watch']}")
    colours = {name: GREY for name in runs} | {name: BEST for name in list(runs)[:1]}
    curves(panels[count - 1], dict(reversed(list(runs.items()))), split="eval", colours=colours)
    panels[count - 1].set_title("every trial; the best in red", fontsize=9)
    for axes in panels[count:]:
        axes.set_visible(False)
    figure.savefig(file, dpi=120)


def field(axes: Axes, points: Sequence[tuple[str, float]]) -> None:
    """A dot a trial, best first and red: numbers on an axis, anything else side by side."""
    texts = [text for text, _ in points]
    numbers = [_number(text) for text in texts]
    if all(math.isfinite(n) for n in numbers):
        places, names = numbers, dict(zip(numbers, texts, strict=True))
        if numbers and min(numbers) > 0 and max(numbers) >= 10 * min(numbers):
            axes.set_xscale("log")
    else:
        order = sorted(set(texts))
        places = [float(order.index(text)) for text in texts]
        names = dict(zip(places, texts, strict=True))
    if len(names) <= MOST_TICKS:
        axes.set_xticks(list(names), list(names.values()))
        axes.minorticks_off()
    axes.margins(x=0.15)
    for place, (_, value), best in zip(
        places, points, [True] + [False] * len(points), strict=False
    ):
        axes.plot(place, value, "o", color=BEST if best else GREY, zorder=3 if best else 2)
    tidy(axes)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def tidy(axes: Axes) -> None:
    """No frame above and to the right, a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
