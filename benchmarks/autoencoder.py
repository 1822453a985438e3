"""How near is a linear autoencoder to principal component analysis, and how far ahead a deep one?

    python -m benchmarks.autoencoder --data-dir=FOLDER

Each run is the public command. `autoencoder --preset=linear` has no bend and learns the embedded
digits by squared error: by Eckart and Young nothing linear does better than PCA with as many
components, so the two errors of the held-out pictures should be alike. `--preset=mnist` is the
paper's 784-1000-500-250-30, with logistic units as there and with rectified ones, beside PCA with
30 components. The error is that of a picture with pixels from 0 to 1, squared, summed over pixels
and averaged over all held-out pictures, after the last step. The paper's table has 3.00, and 13.87
for PCA; there it takes 50 epochs of pre-training a layer and 200 of conjugate gradients.
"""

import dataclasses
import pathlib
from typing import Any, cast

import numpy as np
import tyro

from benchmarks import record, runs

MNIST = ("--model=autoencoder", "--preset=mnist", "--data=mnist")
COMMANDS = {
    "linear": ("--model=autoencoder", "--preset=linear"),
    "logistic": MNIST,
    "rectified": (*MNIST, "--config.activation=relu"),
}
COMPONENTS = {"linear": 8, "logistic": 30, "rectified": 30}
BARS = {"linear": 1.01, "logistic": 1 / 3, "rectified": 1 / 3}  # of PCA's error, at most


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains autoencoders beside PCA.

    Attributes:
        data_dir: MNIST's four IDX files.
        models: Of COMMANDS.
        seeds: One run each.
        steps: Of the deep ones, in batches of 100.
        save: Whether to write docs/results/autoencoder.json and .png.
    """

    data_dir: pathlib.Path
    models: tuple[str, ...] = tuple(COMMANDS)
    seeds: tuple[int, ...] = (0,)
    steps: int = 18_000
    save: bool = True


def components(data: str, data_dir: pathlib.Path | None, count: int) -> float:
    """The held-out error of PCA with so many components, which are those of the training part."""
    import importlib

    from training.data.labelled import Split

    source = importlib.import_module(f"training.data.{data}").read(data_dir)
    train, held_out = (
        cast(Split, part).inputs.reshape(len(part.labels), -1) / 255
        for part in (source.train, source.eval)
    )
    mean = train.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(train.T))
    away = held_out - mean
    left = away - away @ axes[:, -count:] @ axes[:, -count:].T
    return float((left**2).sum(axis=1).mean())


def command(model: str, flags: Flags) -> tuple[str, ...]:
    """The arguments of a run."""
    if model == "linear":
        return COMMANDS[model]
    every = max(flags.steps // 600, 1) * 100  # evaluations; a multiple of what is logged
    return (
        *(*COMMANDS[model], f"--data-dir={flags.data_dir}", f"--steps={flags.steps}"),
        *("--log-every=50", f"--eval-every={every}", f"--save-every={every}"),
    )


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.autoencoder")
    errors: dict[str, dict[str, list[float]]] = {}
    shares: dict[str, float] = {}
    for model in flags.models:
        data = "digits" if model == "linear" else "mnist"
        place = None if model == "linear" else flags.data_dir
        best = components(data, place, COMPONENTS[model])
        reached: list[float] = []
        for seed in flags.seeds:
            entries: list[dict[str, Any]] = runs.logged(
                *command(model, flags), f"--seed={seed}", "--no-export"
            )
            last = [e for e in entries if e["split"] == "eval"][-1]
            reached.append(last["squared_error"])
            print(
                f"{model}, seed {seed}: {reached[-1]:.3f}, PCA {best:.3f}, "
                f"share {reached[-1] / best:.3f}, bar {BARS[model]:.3f}",
                flush=True,
            )
        shares[model] = max(reached) / best
        errors[f"{data}, {model}"] = {"autoencoder": reached, "PCA": [best]}
    if flags.save:
        record.record(
            "autoencoder",
            errors,
            unit="squared error of a held-out picture",
            title="Autoencoders beside principal component analysis",
            shares_of_pca=shares,
            bars=BARS,
            commands={m: " ".join(COMMANDS[m]) for m in flags.models},
            steps=flags.steps,
        )


if __name__ == "__main__":
    main()
