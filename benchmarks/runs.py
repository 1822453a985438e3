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
        places = [f"--run-dir={folder / 'run'}", f"--export-dir={folder / 'exports'}"]
        subprocess.run([*RUN, *flags, *places], check=True, stdout=subprocess.DEVNULL)
        lines = (folder / "run" / "logs.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def held_out(entries: list[dict[str, Any]]) -> dict[int, float]:
    """Step -> loss of the evaluations."""
    return {e["step"]: e["loss"] for e in entries if e["split"] == "eval"}
