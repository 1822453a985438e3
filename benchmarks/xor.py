"""How often does back-propagation through two hidden units learn XOR, and what does one unit reach?

    python -m benchmarks.xor --seeds 20

Each run is the public command. `mlp --preset=xor` has nine parameters; it has learnt XOR where its
last evaluation has all four rows right. `perceptron --preset=gates` has one unit a gate and learns
by Rosenblatt's rule; of the unit for XOR the most rows that it had right at any evaluation count.
"""

import dataclasses

import tyro

from benchmarks import record, runs

GATES = ("and", "or", "xor")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains both from many seeds.

    Attributes:
        seeds: Runs of the network.
        units: Runs of the single units.
        save: Whether to write docs/results/xor.json and .png.
    """

    seeds: int = 20
    units: int = 5
    save: bool = True


def evaluations(*flags: str, seed: int) -> list[dict[str, float]]:
    """What one run of the command logged of its evaluations."""
    entries = runs.logged(*flags, f"--seed={seed}", "--no-export")
    return [e for e in entries if e["split"] == "eval"]


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.xor")
    right = []  # rows of the network's last answer
    for seed in range(flags.seeds):
        last = evaluations("--model=mlp", "--preset=xor", seed=seed)[-1]
        right.append(4 * (1 - last["error"]))
        print(f"network, seed {seed}: {right[-1]:.0f} of 4", flush=True)
    best: dict[str, list[float]] = {gate: [] for gate in GATES}
    for seed in range(flags.units):
        seen = evaluations("--model=perceptron", seed=seed)
        for i, gate in enumerate(GATES):
            best[gate].append(4 * (1 - min(e[f"error_{i}"] for e in seen)))
        print(f"units, seed {seed}: {[rows[-1] for rows in best.values()]} of 4", flush=True)
    successes = sum(rows == 4 for rows in right)
    print(f"the network learnt XOR in {successes} of {flags.seeds} runs")
    if flags.save:
        units = {f"one unit, {gate}": rows for gate, rows in best.items()}
        record.record(
            "xor",
            {"rows right": {"2-2-1 network, xor": right, **units}},
            unit="rows of 4",
            title=f"XOR: the 2-2-1 network learns it in {successes} of {flags.seeds} runs",
            successes=successes,
            runs=flags.seeds,
        )


if __name__ == "__main__":
    main()
