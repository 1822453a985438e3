"""Runs of the public command, and what they logged."""

import json
import pathlib
import subprocess
import sys
import tempfile
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


def held_out(entries: list[dict[str, Any]]) -> dict[int, float]:
    """Step -> loss of the evaluations."""
    return {e["step"]: e["loss"] for e in entries if e["split"] == "eval"}
