"""Does the small GPT learn tiny Shakespeare as well as published?

    python -m benchmarks.shakespeare --data-dir=tinyshakespeare.txt --seeds 0 1 2

nanoGPT's README gives a validation loss of 1.88 for this network, data and budget (2,000 steps of
12 windows of 64 characters). Each seed is a run of the public command; the loss is its last
evaluation, over 200 batches.
"""

import dataclasses
import pathlib
from typing import Any

import tyro

from benchmarks import record, runs

PUBLISHED = 1.88
BAR = (1.85, 1.95)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains the `char` preset on tiny Shakespeare, once a seed.

    Attributes:
        data_dir: The file tinyshakespeare.txt.
        seeds: One run each.
        save: Whether to write docs/results/shakespeare.json and .png.
    """

    data_dir: pathlib.Path
    seeds: tuple[int, ...] = (0, 1, 2)
    save: bool = True


def losses(data_dir: pathlib.Path, seed: int) -> dict[int, float]:
    """Step -> validation loss of one run of the command."""
    data = ("--data=text", f"--data-dir={data_dir}", "--eval-batches=200")
    return runs.held_out(runs.logged("--model=gpt", "--preset=char", f"--seed={seed}", *data))


def published(axis: Any) -> None:
    """The bar and nanoGPT's own value."""
    axis.axhspan(*BAR, color="#c1440e", alpha=0.15, label="bar, 1.85 to 1.95")
    axis.axhline(PUBLISHED, color="#c1440e", linestyle="--", label="published, 1.88")


def picture(file: pathlib.Path, trained: dict[int, dict[int, float]]) -> None:
    """Validation loss over steps, a line a seed, with the published value."""
    series = {f"seed {seed}": run for seed, run in trained.items()}
    record.curves(file, series, ylabel="validation loss, nats a character", more=published)


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.shakespeare")
    trained = {}
    for seed in flags.seeds:
        trained[seed] = losses(flags.data_dir, seed)
        last = list(trained[seed].values())[-1]
        inside = "inside" if BAR[0] <= last <= BAR[1] else "OUTSIDE"
        print(f"seed {seed}: validation loss {last:.4f}, {inside} {BAR}", flush=True)
    if flags.save:
        record.record(
            "shakespeare",
            {"validation loss": {"ours": [list(run.values())[-1] for run in trained.values()]}},
            unit="nats a character",
            title="GPT char on tiny Shakespeare, 2,000 steps",
            picture=lambda file: picture(file, trained),
            published=PUBLISHED,
            bar=BAR,
            curves=trained,
        )


if __name__ == "__main__":
    main()
