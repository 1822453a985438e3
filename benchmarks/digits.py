"""How well does each classifier's default command read handwritten digits, and how soon?

    python -m benchmarks.digits --models resnet mlp --seeds 0 1 2

Each run is the public command `training.run --model=NAME` without its export. The accuracy is over
all 360 held-out digits, of the checkpoint that would be exported; the seconds are of the whole
command.
"""

import dataclasses

import tyro

from benchmarks import record, runs

BAR = 0.97


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains classifiers on the embedded digits.

    Attributes:
        models: Papers.
        seeds: One run each.
        save: Whether to write docs/results/digits.json and .png.
    """

    models: tuple[str, ...] = ("resnet", "mlp", "vgg", "googlenet", "vit", "alexnet")
    seeds: tuple[int, ...] = (0, 1, 2)
    save: bool = True


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.digits")
    commands = {model: (f"--model={model}",) for model in flags.models}
    found = runs.trained(commands, flags.seeds, lambda e: 100 * (1 - min(x["error"] for x in e)))
    if flags.save:
        record.record(
            "digits",
            {"held-out accuracy": found.reached},
            unit="per cent",
            title="Default commands on the embedded digits",
            bar_of_resnet=100 * BAR,
            seconds=found.seconds,
        )


if __name__ == "__main__":
    main()
