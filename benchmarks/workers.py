"""Do two workers on this machine train the small GPT to the same losses as one process?

    python -m benchmarks.workers

Both are the public command on the embedded text: one process, and `--spawn=2`, where each of two
processes takes half of every batch and their gradients are summed over the network. Weights differ
by rounding from the first step on, and training amplifies it; so the difference is shown over the
steps, beside the spread between seeds.
"""

import dataclasses

import tyro

from benchmarks import record, runs

LEAST = 1e-8  # is drawn for less, which a logarithmic axis cannot show


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains the `char` preset in one process, with another seed, and in two workers.

    Attributes:
        steps: Of each run.
        save: Whether to write docs/results/workers.json and .png.
    """

    steps: int = 2000
    save: bool = True


def losses(*flags: str, steps: int) -> tuple[dict[int, float], dict[int, float]]:
    """Step -> loss, in training (each the mean of 25 steps) and held out."""
    entries = runs.logged("--model=gpt", "--preset=char", f"--steps={steps}", *flags)
    train = {e["step"]: e["loss"] for e in entries if e["split"] == "train"}
    return train, runs.held_out(entries)


def apart(one: dict[int, float], other: dict[int, float]) -> dict[int, float]:
    """Step -> absolute difference of two runs' losses."""
    assert one.keys() == other.keys()
    return {step: abs(value - other[step]) for step, value in one.items()}


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.workers")
    ways = {"one process": (), "two workers": ("--spawn=2",), "another seed": ("--seed=1",)}
    found = {name: losses(*options, steps=flags.steps) for name, options in ways.items()}
    ours = found["one process"]
    differences = {name: apart(ours[0], found[name][0]) for name in ways if name != "one process"}
    last = {name: list(held.values())[-1] for name, (_, held) in found.items()}
    for name, values in differences.items():
        first, *_ = values.values()
        print(f"{name}: {first:.2e} apart in the first {min(values)} steps, at most "
              f"{max(values.values()):.2e}; held-out loss {last[name]:.5f}, one process "
              f"{last['one process']:.5f}")  # fmt: skip
    if flags.save:
        record.record(
            "workers",
            {"held-out loss at the end": {name: [value] for name, value in last.items()}},
            unit="nats a character",
            title=f"GPT char in one process and in two workers, {flags.steps:,} steps",
            picture=lambda file: record.curves(
                file,
                {n: {s: max(v, LEAST) for s, v in by.items()} for n, by in differences.items()},
                ylabel="difference of training losses, nats",
                scale="log",
            ),
            apart=differences,
        )


if __name__ == "__main__":
    main()
