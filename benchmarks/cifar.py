"""What does ResNet-20 reach on CIFAR-10 within an hour of two cores?

    python -m benchmarks.cifar --data-dir=FOLDER

The run is the public command with the paper's network, batch, momentum and augmentation, and a
fraction of its 64,000 steps: the rate falls on a cosine in place of two cuts, from the paper's
0.1, and the decay is five times the paper's, as short runs want. The error is of the last step,
over all 10,000 test pictures: no checkpoint was chosen by them. The seconds are of the whole
command.
"""

import dataclasses
import pathlib
from typing import Any

import tyro

from benchmarks import record, runs

BAR, MINUTES = 85.0, 60
COMMAND = (
    *("--model=resnet", "--preset=cifar-20", "--data=cifar10", "--batch-size=128"),
    *("--schedule.kind=cosine", "--schedule.warmup-steps=200"),
    *("--optimizer.learning-rate=0.1", "--optimizer.weight-decay=5e-4"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains ResNet-20 on CIFAR-10.

    Attributes:
        data_dir: CIFAR-10, as training.run takes it.
        steps: Of 128 pictures.
        seeds: One run each.
        save: Whether to write docs/results/cifar.json and .png.
    """

    data_dir: pathlib.Path
    steps: int = 9000
    seeds: tuple[int, ...] = (0,)
    save: bool = True


def _accuracy(evaluation: dict[str, Any]) -> float:
    """Per cent."""
    return 100 * (1 - float(evaluation["error"]))


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.cifar")
    command = (*COMMAND, f"--data-dir={flags.data_dir}", f"--steps={flags.steps}")
    found = runs.trained({"ResNet-20": command}, flags.seeds, lambda e: _accuracy(e[-1]))
    curves = {
        f"seed {seed}": {e["step"]: _accuracy(e) for e in evaluations}
        for seed, evaluations in zip(flags.seeds, found.evaluations["ResNet-20"], strict=True)
    }
    if flags.save:
        record.record(
            "cifar",
            {"test accuracy": found.reached},
            unit="per cent",
            title=f"ResNet-20 on CIFAR-10, {flags.steps:,} steps of 128",
            picture=lambda file: record.curves(file, curves, ylabel="test accuracy, per cent"),
            bar=BAR,
            bar_minutes=MINUTES,
            training=" ".join(COMMAND),
            seconds=found.seconds,
        )


if __name__ == "__main__":
    main()
