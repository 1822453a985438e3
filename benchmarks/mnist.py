"""How well do a perceptron of three layers and a small ResNet read MNIST, and how soon?

    python -m benchmarks.mnist --data-dir=FOLDER

Each run is the public command. `mlp --preset=dnn` has two hidden layers of 512 and its recipe's own
steps and rate; the ResNet is the `digits` preset at 28 px, with more steps. Both see the training
pictures shifted by a pixel or three. The error is of the last step, over all 10,000 test pictures:
no checkpoint was chosen by them. The seconds are of the whole command.
"""

import dataclasses
import pathlib

import tyro

from benchmarks import record, runs

COMMANDS = {
    "mlp": ("--model=mlp", "--preset=dnn"),
    "resnet": (
        *("--model=resnet", "--config.size=28", "--batch-size=128", "--steps=3000"),
        *("--eval-batches=79", "--eval-every=1000", "--save-every=1000", "--log-every=50"),
    ),
}
BARS = {"mlp": 1.6, "resnet": 0.8}  # per cent
MINUTES = 15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains classifiers on MNIST.

    Attributes:
        data_dir: MNIST's four IDX files.
        models: Of COMMANDS.
        seeds: One run each.
        save: Whether to write docs/results/mnist.json and .png.
    """

    data_dir: pathlib.Path
    models: tuple[str, ...] = tuple(COMMANDS)
    seeds: tuple[int, ...] = (0, 1, 2)
    save: bool = True


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.mnist")
    data = ("--data=mnist", f"--data-dir={flags.data_dir}")
    commands = {model: (*COMMANDS[model], *data) for model in flags.models}
    found = runs.trained(commands, flags.seeds, lambda evaluations: 100 * evaluations[-1]["error"])
    if flags.save:
        record.record(
            "mnist",
            {"test error": found.reached},
            unit="per cent",
            title="MNIST: test error after the last step",
            bars=BARS,
            bar_minutes=MINUTES,
            commands={model: " ".join(COMMANDS[model]) for model in flags.models},
            seconds=found.seconds,
        )


if __name__ == "__main__":
    main()
