"""The one way a figure is recorded: docs/results/NAME.json and a picture beside it."""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.peers import Spread

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("tensorflow", "keras", "keras-hub", "numpy", "torch", "transformers")


def record(
    name: str,
    values: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    unit: str,
    title: str,
    folder: pathlib.Path = ROOT / "docs" / "results",
    picture: Callable[[pathlib.Path], None] | None = None,
    **more: Any,
) -> pathlib.Path:
    """Writes the figures of one run, with what one needs to judge and repeat them.

    Args:
        values: Group -> peer -> one value a round.
        picture: Draws into the file it is given; None draws a bar for each peer.
        more: Other facts, JSON values or dataclasses.

    Returns:
        The JSON file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        group: {
            peer: {**dataclasses.asdict(Spread.of(row)), "rounds": list(row)}
            for peer, row in peers.items()
        }
        for group, peers in values.items()
    }
    facts = {
        "title": title,
        "command": command(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **commit(),
        "machine": machine(),
        "versions": versions(),
        "unit": unit,
        "figures": figures,
        **more,
    }
    file = folder / f"{name}.json"
    text = json.dumps(facts, indent=2, default=dataclasses.asdict)
    file.write_text(text + "\n")
    if picture is None:
        draw(folder / f"{name}.png", values, unit=unit, title=title)
    else:
        picture(folder / f"{name}.png")
    return file


def command() -> str:
    """The command line that is running, with the folders of this machine left out."""
    arguments = [_bare(argument) for argument in sys.argv[1:]]
    module = f"benchmarks.{pathlib.Path(sys.argv[0]).stem}"
    return " ".join(["python -m", module, *arguments])


def _bare(argument: str) -> str:
    """`VALUE` or `--flag=VALUE`, of an absolute path only the last name."""
    flag, equals, value = argument.rpartition("=")
    return flag + equals + (pathlib.Path(value).name if os.path.isabs(value) else value)


def commit() -> dict[str, Any]:
    """The commit of the tree, and whether files differ from it; both None outside git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
        done.check_returncode()
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", ".", ":!docs/results")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory and system; no name of the machine."""
    model = platform.processor()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """The installed versions of the packages that matter."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def draw(
    file: pathlib.Path,
    values: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    unit: str,
    title: str,
) -> None:
    """One panel a group, one bar a peer: the median, a dot for each round."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    height = 1.2 + 0.45 * max(len(peers) for peers in values.values())
    size = (6.5 * len(values), height)
    figure, axes = pyplot.subplots(1, len(values), figsize=size, squeeze=False)
    for axis, (group, peers) in zip(axes.flat, values.items(), strict=True):
        names = list(peers)[::-1]
        medians = [Spread.of(peers[name]).median for name in names]
        colours = ["#c1440e" if name == "ours" else "#8fa6b8" for name in names]
        bars = axis.barh(names, medians, color=colours)
        for place, name in enumerate(names):
            axis.plot(peers[name], [place] * len(peers[name]), "k.", markersize=3, alpha=0.5)
        axis.bar_label(bars, [f"{m:.1f}" for m in medians], label_type="center", color="white")
        axis.set_xlabel(f"{unit}, median; a dot for each round")
        axis.set_xlim(left=0)
        axis.set_title(group)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(file, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def curves(
    file: pathlib.Path,
    series: Mapping[str, Mapping[int, float]],
    *,
    ylabel: str,
    scale: str = "linear",
    more: Callable[[Any], None] = lambda axis: None,
) -> None:
    """One panel, one line a name: step -> value. `more` draws what else belongs there."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 4))
    for name, values in series.items():
        marker = "o" if len(values) < 30 else ""
        axis.plot(list(values), list(values.values()), marker=marker, markersize=3, label=name)
    more(axis)
    axis.set_yscale(scale)
    axis.set_xlabel("step")
    axis.set_ylabel(ylabel)
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, dpi=120, metadata={"Software": None})
    pyplot.close(figure)
