"""Do deeper networks train worse, and does the shortcut mend it?

    python -m benchmarks.degradation --data-dir=FOLDER

The question of He et al. 2015, figure 6, at a budget for two cores: plain and residual networks of
20 and 56 layers, the paper's optimizer, shifts and mirroring, but few pictures and few steps of
small batches. The rate is the one that the paper begins its deepest network with, 0.01 for batches
of 128, as much smaller as these are, and cut to a tenth once. It was chosen after trials: with
0.1, as the paper trains the others, ResNet-56 was still behind ResNet-20 after a thousand steps.
Only the ordering is claimed, of the training error: the mean over the last steps, each batch as it
came, changed pictures and all. Runs stay in `--runs-dir`; the same command goes on where it was
stopped.
"""

import dataclasses
import pathlib
import statistics
import tempfile
from typing import Any

import numpy as np
import tyro

from benchmarks import record, runs

NETWORKS = {
    "plain-20": "plain-20",
    "plain-56": "plain-56",
    "ResNet-20": "cifar-20",
    "ResNet-56": "cifar-56",
}
LOG_EVERY = 25
RATE = 0.01 / 128  # a picture of a batch
Entries = list[dict[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains four networks on a part of CIFAR-10.

    Attributes:
        data_dir: CIFAR-10, as training.run takes it.
        runs_dir: Where the runs are kept.
        seeds: One run of each network each.
        pictures: To learn from, as many of each class.
        batch_size: The paper's is 128.
        steps: Of each run.
        last: Steps at the end whose mean is compared.
        save: Whether to write docs/results/degradation.json and .png.
    """

    data_dir: pathlib.Path
    runs_dir: pathlib.Path = pathlib.Path("runs/degradation")
    seeds: tuple[int, ...] = (0, 1, 2)
    pictures: int = 1000
    batch_size: int = 32
    steps: int = 800
    last: int = 100
    save: bool = True


def write_part(data_dir: pathlib.Path, folder: pathlib.Path, *, pictures: int) -> None:
    """The first pictures of each class, and a fifth as many held out, as CIFAR's binary version."""
    from training.data import cifar10
    from training.data.labelled import Split

    source = cifar10.read(data_dir)
    parts = {
        "data_batch_1.bin": (source.train, pictures),
        "test_batch.bin": (source.eval, pictures // 5),
    }
    for name, (split, count) in parts.items():
        each = count // len(source.labels)
        assert isinstance(split, Split), "CIFAR-10 is read as arrays"
        places = [np.flatnonzero(split.labels == i)[:each] for i in range(len(source.labels))]
        rows = np.sort(np.concatenate(places))
        planes = split.inputs[rows].transpose(0, 3, 1, 2).reshape(len(rows), -1)
        labels = split.labels[rows, None].astype(np.uint8)
        (folder / name).write_bytes(np.concatenate([labels, planes], axis=1).tobytes())


def run(flags: Flags, part: pathlib.Path, preset: str, seed: int) -> Entries:
    """What one run logged."""
    return runs.kept(
        flags.runs_dir / f"{preset}-{seed}",
        *("--model=resnet", f"--preset={preset}", f"--seed={seed}", "--no-export"),
        *("--data=cifar10", f"--data-dir={part}", f"--batch-size={flags.batch_size}"),
        f"--optimizer.learning-rate={RATE * flags.batch_size}",
        *(f"--steps={flags.steps}", f"--schedule.boundaries={flags.steps * 3 // 4}"),
        *(f"--log-every={LOG_EVERY}", f"--eval-every={flags.steps}", "--save-every=200"),
        *(f"--eval-batches={-(-flags.pictures // 5 // flags.batch_size)}", "--journals=csv"),
    )


def curve(entries: Entries, key: str = "error") -> dict[int, float]:
    """Step -> number of the training log."""
    return {e["step"]: e[key] for e in entries if e["split"] == "train"}


def at_end(entries: Entries, key: str, last: int) -> float:
    """The mean over the last steps of training."""
    values = list(curve(entries, key).values())
    return statistics.fmean(values[-(last // LOG_EVERY) :])


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.degradation")
    found: dict[str, list[Entries]] = {name: [] for name in NETWORKS}
    part = flags.runs_dir / f"pictures-{flags.pictures}"
    if not part.exists():
        with tempfile.TemporaryDirectory(dir=_made(flags.runs_dir)) as place:
            folder = _made(pathlib.Path(place) / "pictures")
            write_part(flags.data_dir, folder, pictures=flags.pictures)
            folder.rename(part)
    for seed in flags.seeds:
        for name, preset in NETWORKS.items():
            found[name].append(run(flags, part, preset, seed))
            error = at_end(found[name][-1], "error", flags.last)
            print(f"{name}, seed {seed}: {100 * error:.1f} % training error", flush=True)
    if flags.save:
        save(flags, found)


def _made(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save(flags: Flags, found: dict[str, list[Entries]]) -> None:
    """Records errors, orderings and the curves, means over seeds."""
    end = {
        key: {n: [at_end(e, key, flags.last) for e in rows] for n, rows in found.items()}
        for key in ("error", "loss")
    }
    curves = {name: mean([curve(e) for e in rows]) for name, rows in found.items()}
    errors = {name: [100 * x for x in row] for name, row in end["error"].items()}
    plain = zip(errors["plain-56"], errors["plain-20"], strict=True)
    residual = zip(errors["ResNet-56"], errors["ResNet-20"], strict=True)
    record.record(
        "degradation",
        {"training error": errors},
        unit="per cent",
        title=f"Training error, {flags.steps:,} steps on {flags.pictures:,} pictures of CIFAR-10",
        picture=lambda file: record.curves(
            file,
            {name: {s: 100 * v for s, v in c.items()} for name, c in curves.items()},
            ylabel=f"training error, per cent, mean of {len(flags.seeds)} seeds",
        ),
        seeds_in_which_plain_56_is_worse=sum(deep > shallow for deep, shallow in plain),
        seeds_in_which_resnet_56_is_not_worse=sum(deep <= shallow for deep, shallow in residual),
        seeds=flags.seeds,
        loss=end["loss"],
        curves=curves,
    )


def mean(rows: list[dict[int, float]]) -> dict[int, float]:
    """The mean of curves of the same steps."""
    return {step: statistics.fmean(row[step] for row in rows) for step in rows[0]}


if __name__ == "__main__":
    main()
