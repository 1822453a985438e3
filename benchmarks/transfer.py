"""What does a network gain from pictures without labels, when few of them have one?

    python -m benchmarks.transfer --data-dir=FOLDER

One small ResNet learns CIFAR-10's training pictures by filling in what is missing (context
encoder), by solving puzzles (jigsaw) and by finding a picture's twin (SimCLR), each for as many
steps of as many pictures, or hardly at all: `random` takes a hundred steps at a rate of almost
nothing, so that its batch normalisations have seen the data. Then 1 %, 10 % and all of the training
pictures have a label. `probe` is a linear classifier on what the paper's endpoint `embed` says of
them; `fine-tuned` is `training.run --model=resnet --init-from=RUN`, in which all weights move.

What counts is the accuracy on all 10,000 test pictures at the last step; no checkpoint was chosen.
The budget is far below any paper's, and so is the network; the order may be another at theirs. Runs
stay in `--runs-dir`; the same command goes on where it was stopped.
"""

import dataclasses
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
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
STEPS = {0.01: 500, 0.1: 1000, 1.0: 3000}  # share of the labels -> steps with labels
WAYS, SHARES = ("probe", "fine-tuned"), tuple(STEPS)
BATCH = 500  # pictures whose features are asked for at once
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
        save: Whether to write docs/results/transfer.json and .png.
    """

    data_dir: pathlib.Path
    runs_dir: pathlib.Path = pathlib.Path("runs/transfer")
    seeds: tuple[int, ...] = (0, 1, 2)
    batch_size: int = 64
    steps: int = 2000
    save: bool = True


def shared(flags: Flags, seed: int, steps: int) -> tuple[str, ...]:
    """What all runs are told; they are evaluated and saved at their end."""
    return (
        *(*NETWORK, "--data=cifar10", f"--data-dir={flags.data_dir}", f"--seed={seed}"),
        *(f"--steps={steps}", f"--eval-every={steps}", f"--save-every={steps}"),
        *("--recipe=cpu", "--no-export", "--journals=csv"),
    )


def begun(flags: Flags, pretext: str, seed: int, *more: str) -> pathlib.Path:
    """The run that learns without labels, by the words of a pretext and some more."""
    folder = flags.runs_dir / "".join((pretext, *more, f"-{seed}"))
    steps = HARDLY if pretext == "random" else flags.steps
    size = f"--batch-size={flags.batch_size}"
    runs.kept(folder, *PRETEXTS[pretext], *more, size, *shared(flags, seed, steps))
    return folder


def classified(flags: Flags, pretext: str, seed: int) -> Iterator[tuple[str, float]]:
    """Way and share, and per cent of the test pictures, of one network's features."""
    from training.data import cifar10

    folder = begun(flags, pretext, seed)
    source = cifar10.read(flags.data_dir)
    known, asked = (features(folder, part) for part in (source.train, source.eval))
    for share, count in STEPS.items():
        yield group("probe", share), 100 * probed(source, known, asked, share)
        entries = runs.kept(
            flags.runs_dir / f"{pretext}-{seed}-{share}",
            *CLASSIFIER,
            *shared(flags, seed, count),
            *(f"--init-from={folder}", f"--label-share={share}"),
            *("--batch-size=64", "--eval-batches=157"),
        )
        yield group("fine-tuned", share), 100 * (1 - last(entries))


def features(run_dir: pathlib.Path, part: Any) -> np.ndarray:
    """What a run's endpoint `embed` says of pictures, float32 [n, F]."""
    import tensorflow as tf

    from kmodels.core import zoo
    from kmodels.core.codecs import folder as codecs
    from training import checkpoints
    from training import runs as folders

    run = folders.read(run_dir)
    paper = zoo.load(run.model)
    model: Any = paper.build(run.config)
    weights = checkpoints.model_weights(folders.tensors(run_dir, "last"))
    for variable in model.weights:
        variable.assign(weights[variable.path])
    endpoint = paper.endpoints(model, codecs.load(run_dir / "codec"))["embed"]
    embed = tf.function(endpoint.function, reduce_retracing=True, autograph=False)
    files = part.files(len(part.labels))
    batches = (files[first : first + BATCH] for first in range(0, len(files), BATCH))
    return np.concatenate([embed(tf.constant(batch))["embedding"].numpy() for batch in batches])


def probed(source: Any, known: np.ndarray, asked: np.ndarray, share: float) -> float:
    """How often a linear classifier fitted to the labelled pictures' features is right."""
    from training.data.labelled import Labelled
    from training.evaluators import neighbours

    part = Labelled(source.train, share)
    rows, classes = known[part.places], len(source.labels)
    return neighbours.probe_accuracy(rows, part.labels, asked, source.eval.labels, classes=classes)


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
            steps={"without labels": flags.steps, "with labels": STEPS},
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
