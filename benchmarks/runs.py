"""Runs of the public command, and what they logged."""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

RUN = (sys.executable, "-m", "training.run")


def logged(*flags: str) -> list[dict[str, Any]]:
    """The lines of logs.jsonl of one run of `training.run` in folders of its own."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        return kept(folder / "run", *flags, f"--export-dir={folder / 'exports'}")


def kept(run_dir: pathlib.Path, *flags: str) -> list[dict[str, Any]]:
    """The same of a run in this folder, which stays: a run that was cut off goes on."""
    subprocess.run([*RUN, *flags, f"--run-dir={run_dir}"], check=True, stdout=subprocess.DEVNULL)
    lines = (run_dir / "logs.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


@dataclasses.dataclass
class Trained:
    """What runs of some commands, one for each seed, reached and took.

    Attributes:
        reached: Command's name -> per cent by seed.
        seconds: The same of the whole command.
        evaluations: The same of its evaluations, in order.
    """

    reached: dict[str, list[float]]
    seconds: dict[str, list[float]]
    evaluations: dict[str, list[list[dict[str, Any]]]]


def trained(
    commands: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    reached: Callable[[list[dict[str, Any]]], float],
) -> Trained:
    """Runs each command with each seed, without its export, and says what it reached.

    Args:
        reached: Evaluations to per cent.
    """
    found = Trained({n: [] for n in commands}, {n: [] for n in commands}, {n: [] for n in commands})
    for seed in seeds:
        for name, flags in commands.items():
            began = time.perf_counter()
            entries = logged(*flags, f"--seed={seed}", "--no-export")
            found.seconds[name].append(time.perf_counter() - began)
            found.evaluations[name].append([e for e in entries if e["split"] == "eval"])
            found.reached[name].append(reached(found.evaluations[name][-1]))
            took = f"{found.seconds[name][-1]:.0f} s"
            print(f"{name}, seed {seed}: {found.reached[name][-1]:.2f} % in {took}", flush=True)
    return found


def held_out(entries: list[dict[str, Any]]) -> dict[int, float]:
    """Step -> loss of the evaluations."""
    return {e["step"]: e["loss"] for e in entries if e["split"] == "eval"}
