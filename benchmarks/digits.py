"""How well does each classifier's default command read handwritten digits, and how soon?

    python -m benchmarks.digits --models resnet mlp --seeds 0 1 2

Each run is the public command `training.run --model=NAME` without its export. The accuracy is over
all 360 held-out digits, of the checkpoint that would be exported; the seconds are of the whole
command.
"""

import dataclasses
import time

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


def run(model: str, seed: int) -> tuple[float, float]:
    """Best held-out accuracy in per cent, and seconds, of one run."""
    began = time.perf_counter()
    entries = runs.logged(f"--model={model}", f"--seed={seed}", "--no-export")
    seconds = time.perf_counter() - began
    return 100 * (1 - min(e["error"] for e in entries if e["split"] == "eval")), seconds


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.digits")
    accuracies: dict[str, list[float]] = {model: [] for model in flags.models}
    seconds: dict[str, list[float]] = {model: [] for model in flags.models}
    for seed in flags.seeds:
        for model in flags.models:
            accuracy, took = run(model, seed)
            accuracies[model].append(accuracy)
            seconds[model].append(took)
            print(f"{model}, seed {seed}: {accuracy:.1f} % in {took:.0f} s", flush=True)
    if flags.save:
        record.record(
            "digits",
            {"held-out accuracy": accuracies},
            unit="per cent",
            title="Default commands on the embedded digits",
            bar_of_resnet=100 * BAR,
            seconds=seconds,
        )


if __name__ == "__main__":
    main()
