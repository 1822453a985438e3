"""What a run folder tells, read back: for the report, the model card and the line at the end."""

import dataclasses
import json
import pathlib
import statistics
from typing import Any

from kmodels.core import zoo
from kmodels.core.paper import Paper
from training import recipes, runs

VERSIONS = ("python", "tensorflow", "keras", "numpy")
ORIGINS = {
    "paper": "the paper's",
    "cpu": "cpu profile: not the paper's schedule",
    "own": "not the paper's",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """A run as its folder has it.

    Attributes:
        run: run.json.
        config: The paper's own dataclass.
        unit: "tokens" or "examples".
        entries: logs.jsonl.
        machine: machine.json, empty before the first steps.
    """

    folder: pathlib.Path
    run: dict[str, Any]
    paper: Paper
    config: Any
    unit: str
    entries: list[dict[str, Any]]
    machine: dict[str, Any]

    @property
    def name(self) -> str:
        """Model and preset."""
        return f"{self.run['model']} {self.run['preset']}"

    @property
    def step(self) -> int:
        """The last step that was told of."""
        return max((e["step"] for e in self.entries), default=0)

    @property
    def best(self) -> tuple[float, int] | None:
        """The lowest watched value of an evaluation, and its step."""
        watch = self.run["recipe"]["watch"]
        found = [(e[watch], e["step"]) for e in self.entries if e["split"] == "eval"]
        return min((pair for pair in found if pair[0] is not None), default=None)

    @property
    def finished(self) -> bool:
        """Whether it took all its steps and was evaluated at the last."""
        last = self.run["recipe"]["steps"]
        return any(e["split"] == "eval" and e["step"] == last for e in self.entries)

    def numbers(self, name: str) -> list[float]:
        """One number of all training intervals that have it."""
        train = (e for e in self.entries if e["split"] == "train")
        return [e[name] for e in train if e.get(name) is not None]

    def typical(self, name: str) -> float | None:
        """The median over the intervals; the first one compiles and counts only if it is alone."""
        values = self.numbers(name)
        return statistics.median(values[1:] or values) if values else None


def read(folder: pathlib.Path) -> Record:
    """The record of a run folder.

    Raises:
        UserError: the folder holds no run.
    """
    run = runs.described(folder)
    paper = zoo.load(run["model"])
    return Record(
        folder=folder,
        run=run,
        paper=paper,
        config=type(next(iter(paper.PRESETS.values())))(**run["config"]),
        unit=recipes.load(run["model"]).UNIT,
        entries=runs.entries(folder),
        machine=_json(folder / "machine.json"),
    )


def _json(file: pathlib.Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text())) if file.exists() else {}


def rows(record: Record) -> dict[str, str]:
    """The run's numbers as one reads them, those that are known."""
    machine, best = record.machine, record.best
    steps, watch = record.run["recipe"]["steps"], record.run["recipe"]["watch"]
    told: dict[str, str | None] = {
        "parameters": f"{record.paper.param_count(record.config):,}",
        "schedule": ORIGINS.get(record.run["recipe"].get("origin")),
        "steps": f"{record.step:,} of {steps:,}",
        f"best {watch} on held-out data": best and f"{best[0]:.4f} at step {best[1]:,}",
        "speed": _if(record.typical(f"{record.unit}_per_second"), f"{{:,.0f}} {record.unit}/s"),
        "MFU": _if(record.typical("mfu"), "{:.1%} of the measured peak"),
        "operations in a step": _if(machine.get("step_flops"), "{:.4g} FLOPs"),
        "measured peak": _if(machine.get("peak_flops"), "{:.4g} FLOP/s"),
        "memory, highest": _if(max(record.numbers("memory_gib"), default=None), "{:.2f} GiB"),
        "GPU memory, highest": _if(
            max(record.numbers("gpu_memory_gib"), default=None), "{:.2f} GiB"
        ),
        "time in training steps": duration(sum(record.numbers("seconds"))),
        "devices": ", ".join(machine.get("devices", [])) or None,
        "processor": f"{machine['processor']}, {machine['cores']} cores" if machine else None,
        "replicas": _if(machine.get("replicas"), "{}"),
        "precision": record.run["precision"],
        "versions": ", ".join(f"{n} {machine[n]}" for n in VERSIONS) if machine else None,
    }
    return {name: value for name, value in told.items() if value}


def _if(value: float | None, pattern: str) -> str | None:
    return None if value is None else pattern.format(value)


def duration(seconds: float) -> str:
    """As "1 h 5 min", "3 min 20 s" or "8.5 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"
