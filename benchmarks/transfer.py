"""What does a network gain from pictures without labels, when few of them have one?

    python -m benchmarks.transfer --data-dir=FOLDER

One small ResNet learns CIFAR-10's training pictures by filling in what is missing (context
encoder), by solving puzzles (jigsaw) and by finding a picture's twin (SimCLR), each for as many
steps of as many pictures, or hardly at all: `random` takes a hundred steps at a rate of almost
nothing, so that its batch normalisations have seen the data. Then its features are asked: a linear
classifier on them as they are (`probe`), or all weights trained on (`fine-tuned`), from 1 %, 10 %
and all of the labels, for as many steps each. What counts is the accuracy on all 10,000 test
pictures at the last step; no checkpoint was chosen. The budget is far below any paper's, and so is
the network; the order may be another at theirs. Runs stay in `--runs-dir`; the same command goes on
where it was stopped.
"""

import dataclasses
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tyro

from benchmarks import record, runs

NETWORK = ("--config.widths", "16", "32", "64", "--config.depths", "1", "1", "1")
PRETEXTS = {
    "random": ("--model=simclr", "--preset=cifar-18", "--optimizer.learning-rate=1e-9"),
    "inpainting": ("--model=context_encoder", "--preset=cifar-features"),
    "jigsaw": ("--model=jigsaw", "--preset=cifar10"),
    "SimCLR": ("--model=simclr", "--preset=cifar-18"),
}
CLASSIFIER = ("--model=resnet", "--preset=cifar-20", "--config.shortcut=projection")
WAYS = {"probe": ("--freeze",), "fine-tuned": ()}
SHARES = (0.01, 0.1, 1.0)
HARDLY = 100  # steps of `random`
Found = dict[str, dict[str, list[float]]]  # way and share -> pretext -> per cent by seed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Learns without labels, then with some.

    Attributes:
        data_dir: CIFAR-10, as training.run takes it.
        runs_dir: Where the runs are kept.
        seeds: One run of everything each.
        batch_size: Pictures a step without labels.
        steps: Without labels.
        classifier_steps: With labels, of 64 pictures.
        save: Whether to write docs/results/transfer.json and .png.
    """

    data_dir: pathlib.Path
    runs_dir: pathlib.Path = pathlib.Path("runs/transfer")
    seeds: tuple[int, ...] = (0, 1, 2)
    batch_size: int = 64
    steps: int = 2000
    classifier_steps: int = 1000
    save: bool = True


def shared(flags: Flags, seed: int, steps: int) -> tuple[str, ...]:
    """What all runs are told; they are evaluated and saved at their end."""
    return (
        *(*NETWORK, "--data=cifar10", f"--data-dir={flags.data_dir}", f"--seed={seed}"),
        *(f"--steps={steps}", f"--eval-every={steps}", f"--save-every={steps}"),
        *("--recipe=cpu", "--no-export", "--journals=csv"),
    )


def classified(flags: Flags, pretext: str, seed: int) -> Iterator[tuple[str, float]]:
    """Way and share, and per cent of the test pictures, of one network's features."""
    begun = flags.runs_dir / f"{pretext}-{seed}"
    steps = HARDLY if pretext == "random" else flags.steps
    size = f"--batch-size={flags.batch_size}"
    runs.kept(begun, *PRETEXTS[pretext], size, *shared(flags, seed, steps))
    for way, words in WAYS.items():
        for share in SHARES:
            entries = runs.kept(
                flags.runs_dir / f"{pretext}-{seed}-{way}-{share}",
                *CLASSIFIER,
                *shared(flags, seed, flags.classifier_steps),
                *(f"--init-from={begun}", f"--label-share={share}", *words),
                *("--batch-size=64", "--eval-batches=157"),
            )
            yield group(way, share), 100 * (1 - last(entries))


def group(way: str, share: float) -> str:
    """The name of a row of the table."""
    return f"{way}, {share:.0%} of the labels"


def last(entries: Sequence[Mapping[str, Any]]) -> float:
    """The error of the last evaluation."""
    error: float = [e["error"] for e in entries if e["split"] == "eval"][-1]
    return error


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.transfer")
    found: Found = {group(w, s): {p: [] for p in PRETEXTS} for w in WAYS for s in SHARES}
    for seed in flags.seeds:
        for pretext in PRETEXTS:
            for row, reached in classified(flags, pretext, seed):
                found[row][pretext].append(reached)
                print(f"{pretext}, seed {seed}, {row}: {reached:.2f} %", flush=True)
    if flags.save:
        record.record(
            "transfer",
            found,
            unit="per cent",
            title="CIFAR-10 with few labels, after learning without any",
            picture=lambda file: draw(file, found),
            pretexts={name: " ".join(words) for name, words in PRETEXTS.items()},
            steps={"without labels": flags.steps, "with labels": flags.classifier_steps},
        )


def draw(file: pathlib.Path, found: Found) -> None:
    """A panel for probes and one for fine-tuning: a line for each pretext, a dot for each seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(WAYS), figsize=(11, 4.5), sharey=True)
    for axis, way in zip(axes, WAYS, strict=True):
        for pretext in PRETEXTS:
            rows = [found[group(way, share)][pretext] for share in SHARES]
            (line,) = axis.plot(SHARES, [statistics.fmean(row) for row in rows], label=pretext)
            for share, row in zip(SHARES, rows, strict=True):
                axis.plot([share] * len(row), row, "o", markersize=3, color=line.get_color())
        axis.set_xscale("log")
        axis.set_xticks(SHARES, [f"{share:.0%}" for share in SHARES])
        axis.set_xlabel("training pictures with a label")
        axis.set_title(way)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("test accuracy, per cent, mean over seeds")
    axes[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(file, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
