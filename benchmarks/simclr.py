"""Do features that were never told a class know more of classes, the more views differ?

    python -m benchmarks.simclr --data-dir=FOLDER

SimCLR on CIFAR-10 at a budget for two cores: a ResNet of 20 layers with 16, 32 and 64 channels,
where the paper has a ResNet-50. The same network learns from views that are cut alone, from views
whose colours are changed too, and hardly at all: `random` takes a hundred steps at a rate of almost
nothing, so that its batch normalisations have seen the data. A linear classifier on features of
5,000 training pictures is asked about 5,000 held-out ones. Only the order is claimed.
"""

import dataclasses
import pathlib

import tyro

from benchmarks import record, runs

NETWORK = (
    *("--model=simclr", "--preset=cifar-18", "--config.projection=64"),
    *("--config.widths", "16", "32", "64", "--config.depths", "3", "3", "3"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Learns features from views that differ more and more.

    Attributes:
        data_dir: CIFAR-10, as training.run takes it.
        seeds: One run of each kind each.
        batch_size: Pictures a step, two views of each.
        steps: Of each run but `random`.
        save: Whether to write docs/results/simclr.json and .png.
    """

    data_dir: pathlib.Path
    seeds: tuple[int, ...] = (0, 1, 2)
    batch_size: int = 64
    steps: int = 2000
    save: bool = True


def commands(flags: Flags) -> dict[str, tuple[str, ...]]:
    """By what views differ in."""
    shared = (
        *NETWORK,
        *("--data=cifar10", f"--data-dir={flags.data_dir}", f"--batch-size={flags.batch_size}"),
    )

    def steps(count: int) -> tuple[str, ...]:
        return (f"--steps={count}", f"--eval-every={count}", f"--save-every={count}")

    return {
        "random": (*shared, *steps(100), "--optimizer.learning-rate=1e-9"),
        "cut": (*shared, *steps(flags.steps), "--colour-strength=0"),
        "cut and coloured": (*shared, *steps(flags.steps), "--colour-strength=0.5"),
    }


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.simclr")
    asked = commands(flags)
    found = runs.trained(asked, flags.seeds, lambda e: 100 * e[-1]["probe_accuracy"])
    ordered = [
        found.reached["random"][i] < found.reached["cut"][i] < found.reached["cut and coloured"][i]
        for i in range(len(flags.seeds))
    ]
    print(f"In order in {sum(ordered)} of {len(ordered)} seeds.")
    if flags.save:
        record.record(
            "simclr",
            {"probe accuracy": found.reached},
            unit="per cent",
            title="SimCLR on CIFAR-10: a linear classifier on features",
            commands={name: " ".join(words) for name, words in asked.items()},
            seconds=found.seconds,
            ordered=sum(ordered),
        )


if __name__ == "__main__":
    main()
