"""How long do the README's two commands take, once everything is installed?

    python -m benchmarks.commands --rounds=3

In seconds: from the first command to its first training step, its training and its whole, and the
test command. Each run is a fresh process in a fresh folder.
"""

import dataclasses
import pathlib
import subprocess
import sys
import tempfile
import time

import tyro

from benchmarks import record


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Times the README's two commands.

    Attributes:
        rounds: Runs of the first command; the tests run once.
        tests: Whether to run the tests too.
        save: Whether to write docs/results/commands.json and .png.
    """

    rounds: int = 3
    tests: bool = True
    save: bool = True


def first_command(folder: pathlib.Path) -> tuple[float, float, float]:
    """Seconds to the first logged step, of training after it, and in all."""
    command = [sys.executable, "-u", "-m", "training.run", "--model=gpt", "--log-every=5"]
    places = [f"--run-dir={folder / 'run'}", f"--export-dir={folder / 'exports'}"]
    began = time.perf_counter()
    step, trained = 0.0, 0.0
    with subprocess.Popen([*command, *places], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            step = step or (time.perf_counter() - began) * line.startswith("step 5/")
            trained = trained or (time.perf_counter() - began) * line.startswith("Trained")
    whole = time.perf_counter() - began
    assert process.returncode == 0 and step and trained, "the command failed"
    return step, trained - step, whole


def main() -> None:
    """Runs the commands in turn, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.commands")
    rows = []
    for _ in range(flags.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(first_command(pathlib.Path(folder)))
            print("first step {:.1f} s, training {:.1f} s, whole {:.1f} s".format(*rows[-1]))
    steps, trainings, wholes = (list(column) for column in zip(*rows, strict=True))
    values = {
        "training.run --model=gpt": {
            "to the first steps": steps,
            "training": trainings,
            "whole": wholes,
        }
    }
    if flags.tests:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "pytest", "-q"], check=True, cwd=record.ROOT)
        values["pytest"] = {"whole": [time.perf_counter() - began]}
    if flags.save:
        record.record("commands", values, unit="seconds", title="The README's two commands")


if __name__ == "__main__":
    main()
