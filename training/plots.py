"""A run's curves as a picture: losses, learning rate, speed, share of the peak, returns."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from training.files import write_atomically

Entries = Sequence[Mapping[str, Any]]
TRAIN, EVAL = "tab:blue", "tab:orange"
FEW = 12  # points up to which each is marked
NAMELESS = ("Creator", "Date", "Format", "Type")  # left out, so that equal runs give equal files
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 9.0,
    "lines.linewidth": 1.2,
    "svg.hashsalt": "kmodels",
}


def curves(entries: Entries, *, unit: str, title: str) -> Figure:
    """What a log says over the steps; a panel for each thing that it knows.

    Args:
        entries: Lines of logs.jsonl.
        unit: "tokens" or "examples".
    """
    panels = {
        "learning_rate": "learning rate",
        f"{unit}_per_second": f"{unit} per second",
        "mfu": "MFU, % of the measured peak",
    }
    played = {"return": "return of whole games", "q": "worth of the best action"}
    known = [name for name in panels if points(entries, "train", name)[0]]
    seen = [name for name in played if points(entries, "eval", name)[0]]
    rows = [names for names in (known, seen) if names]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.5 + 2.0 * len(rows)), layout="constrained")
        grid = figure.add_gridspec(1 + len(rows), 1, height_ratios=[3] + [2] * len(rows))
        _losses(figure.add_subplot(grid[0]), entries)
        for row, names in enumerate(rows):
            cells = grid[1 + row].subgridspec(1, len(names))
            for column, name in enumerate(names):
                axes = figure.add_subplot(cells[column])
                if names is seen:
                    _evaluated(axes, entries, name)
                else:
                    steps, values = points(entries, "train", name)
                    shown = [v * 100 if name == "mfu" else v for v in values]
                    axes.plot(steps, shown, color=TRAIN, marker=_marker(steps))
                axes.set_title({**panels, **played}[name])
                _tidy(axes, from_zero=names is known)
        figure.suptitle(title)
    return figure


def _evaluated(axes: Axes, entries: Entries, name: str) -> None:
    """A number of the evaluations, beside that of training where there is one."""
    steps, values = points(entries, "train", f"train_{name}")
    if values:
        axes.plot(steps, values, color=TRAIN, marker=_marker(steps), label="training")
    steps, values = points(entries, "eval", name)
    axes.plot(steps, values, color=EVAL, marker="o", markersize=3, label="held out")
    axes.legend(frameon=False)


def points(entries: Entries, split: str, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of one number; where it was not finite there is none."""
    found = [(e["step"], e[name]) for e in entries if e["split"] == split and name in e]
    kept = [(step, value) for step, value in found if value is not None]
    return [step for step, _ in kept], [value for _, value in kept]


def _losses(axes: Axes, entries: Entries) -> None:
    steps, losses = points(entries, "train", "loss")
    axes.plot(steps, losses, color=TRAIN, marker=_marker(steps), label="training")
    held_out, values = points(entries, "eval", "loss")
    axes.plot(held_out, values, color=EVAL, marker="o", markersize=3, label="held out")
    if values:
        best = min(range(len(values)), key=values.__getitem__)
        text = f"{values[best]:.4g} at step {held_out[best]:,}"
        axes.plot(held_out[best], values[best], "*", color=EVAL, markersize=11, label=text)
    everything = [*losses, *values]
    if everything and min(everything) > 0 and max(everything) > 20 * min(everything):
        axes.set_yscale("log")
    axes.set_title("loss")
    axes.set_xlabel("step")
    if everything:
        axes.legend(frameon=False)
    _tidy(axes, from_zero=False)


def _marker(steps: Sequence[int]) -> str:
    return "." if len(steps) <= FEW else ""


def _tidy(axes: Axes, *, from_zero: bool) -> None:
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.margins(x=0.02)
    if from_zero:
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", scilimits=(-3, 4))


def svg(figure: Figure) -> str:
    """The picture as an element to put into a page."""
    text = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(text, format="svg", metadata=dict.fromkeys(NAMELESS))
    return text.getvalue()[text.getvalue().index("<svg") :]


def save(figure: Figure, folder: pathlib.Path) -> str:
    """Writes curves.png and curves.svg; gives the latter as `svg` does."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    figure.set_layout_engine("none")  # everything has its place now
    element = svg(figure)
    write_atomically(folder / "curves.png", picture.getvalue())
    write_atomically(folder / "curves.svg", element + "\n")
    return element
