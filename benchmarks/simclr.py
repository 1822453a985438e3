"""Do features that were never told a class know more of classes, the more views differ?

    python -m benchmarks.simclr --data-dir=FOLDER

SimCLR on CIFAR-10 at a budget for two cores: the small ResNet of `benchmarks.transfer`, where the
paper has a ResNet-50. The same network learns from views that are cut alone, from views whose
colours are changed too, and hardly at all (`random`). A linear classifier on its features of all
training pictures is asked about the 10,000 test pictures. Only the order is claimed.

The network takes more steps than those of `benchmarks.transfer`: after its 2,000, features of views
that are cut alone were worse than those of no training at all. The same command goes on where it
was stopped.
"""

import dataclasses
import pathlib

import tyro

from benchmarks import record, transfer

VIEWS = {
    "random": ("random",),
    "cut": ("SimCLR", "--colour-strength=0"),
    "cut and coloured": ("SimCLR",),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Learns features from views that differ more and more.

    Attributes:
        data_dir: CIFAR-10, as training.run takes it.
        runs_dir: Where the runs are kept.
        seeds: One run of each kind each.
        steps: Of 64 pictures. See above for why not 2,000.
        save: Whether to write docs/results/simclr.json and .png.
    """

    data_dir: pathlib.Path
    runs_dir: pathlib.Path = pathlib.Path("runs/simclr")
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 8000
    save: bool = True


def main() -> None:
    """Trains, prints and records."""
    from training.data import cifar10

    flags = tyro.cli(Flags, prog="python -m benchmarks.simclr")
    budget = transfer.Flags(data_dir=flags.data_dir, runs_dir=flags.runs_dir, steps=flags.steps)
    source = cifar10.read(flags.data_dir)
    found: dict[str, list[float]] = {name: [] for name in VIEWS}
    for seed in flags.seeds:
        for name, (pretext, *more) in VIEWS.items():
            folder = transfer.begun(budget, pretext, seed, *more)
            known, asked = (transfer.features(folder, p) for p in (source.train, source.eval))
            found[name].append(100 * transfer.probed(source, known, asked, 1.0))
            print(f"{name}, seed {seed}: {found[name][-1]:.2f} %", flush=True)
    rows = list(zip(*found.values(), strict=True))
    ordered = sum(list(row) == sorted(row) for row in rows)
    print(f"In order in {ordered} of {len(rows)} seeds.")
    if flags.save:
        record.record(
            "simclr",
            {"probe accuracy": found},
            unit="per cent",
            title="SimCLR on CIFAR-10: a linear classifier on features",
            views={name: " ".join(words) for name, words in VIEWS.items()},
            steps=budget.steps,
            batch_size=budget.batch_size,
            ordered=ordered,
        )


if __name__ == "__main__":
    main()
