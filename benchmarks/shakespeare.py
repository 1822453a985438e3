"""Does the small GPT learn tiny Shakespeare as well as published?

    python -m benchmarks.shakespeare --data-dir=tinyshakespeare.txt --seeds 0 1 2

nanoGPT's README gives a validation loss of 1.88 for this network, data and budget (2,000 steps of
12 windows of 64 characters). Each seed is a run of the public command; the loss is its last
evaluation, over 200 batches.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile

import tyro

from benchmarks import record

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


def losses(data_dir: pathlib.Path, seed: int, folder: pathlib.Path) -> dict[int, float]:
    """Step -> validation loss of one run of the command."""
    command = [sys.executable, "-m", "training.run", "--model=gpt", "--preset=char"]
    options = [f"--data-dir={data_dir}", f"--seed={seed}", "--data=text", "--eval-batches=200"]
    places = [f"--run-dir={folder / 'run'}", f"--export-dir={folder / 'exports'}"]
    subprocess.run([*command, *options, *places], check=True, stdout=subprocess.DEVNULL)
    lines = (folder / "run" / "logs.jsonl").read_text(encoding="utf-8").split("\n")
    entries = [json.loads(line) for line in lines if line]
    return {e["step"]: e["loss"] for e in entries if e["split"] == "eval"}


def curves(file: pathlib.Path, runs: dict[int, dict[int, float]]) -> None:
    """Validation loss over steps, a line a seed, with the published value."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 4))
    for seed, run in runs.items():
        axis.plot(list(run), list(run.values()), marker="o", markersize=3, label=f"seed {seed}")
    axis.axhspan(*BAR, color="#c1440e", alpha=0.15, label="bar, 1.85 to 1.95")
    axis.axhline(PUBLISHED, color="#c1440e", linestyle="--", label="published, 1.88")
    axis.set_xlabel("step")
    axis.set_ylabel("validation loss, nats a character")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.shakespeare")
    runs = {}
    for seed in flags.seeds:
        with tempfile.TemporaryDirectory() as folder:
            runs[seed] = losses(flags.data_dir, seed, pathlib.Path(folder))
        last = list(runs[seed].values())[-1]
        inside = "inside" if BAR[0] <= last <= BAR[1] else "OUTSIDE"
        print(f"seed {seed}: validation loss {last:.4f}, {inside} {BAR}", flush=True)
    if flags.save:
        record.record(
            "shakespeare",
            {"validation loss": {"ours": [list(run.values())[-1] for run in runs.values()]}},
            unit="nats a character",
            title="GPT char on tiny Shakespeare, 2,000 steps",
            picture=lambda file: curves(file, runs),
            published=PUBLISHED,
            bar=BAR,
            curves=runs,
        )


if __name__ == "__main__":
    main()
