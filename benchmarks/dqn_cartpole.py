"""Does the default command of `dqn` hold the pole of CartPole up, and how long does it take?

    python -m benchmarks.dqn_cartpole --seeds 5

Each run is the public command: 50,000 agent steps at most. Its best checkpoint, chosen by the
run's own evaluations, then plays 100 other games without any chance; a game that is never lost
brings 500, and 475 is Gymnasium's mark. Time is that of the whole command without the export.
"""

import dataclasses
import pathlib
import tempfile
import time

import tyro

from benchmarks import played, record, runs

GAMES, MARK, MINUTES = 100, 475.0, 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains from some seeds, each followed by 100 games.

    Attributes:
        seeds: Runs.
        save: Whether to write docs/results/dqn_cartpole.json and .png.
    """

    seeds: int = 5
    save: bool = True


def one(seed: int) -> tuple[float, float, float]:
    """A run's mean return, its agent steps and its seconds."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place) / "run"
        began = time.perf_counter()
        entries = runs.kept(folder, "--model=dqn", f"--seed={seed}", "--no-export")
        seconds = time.perf_counter() - began
        found = played.returns(folder, games=GAMES, epsilon=0.0)
    taken = max(e["agent_steps"] for e in entries if e["split"] == "train")
    return sum(found) / len(found), taken, seconds


def main() -> None:
    """Trains, plays, prints and records."""
    from training import quiet

    quiet.import_tensorflow()
    flags = tyro.cli(Flags, prog="python -m benchmarks.dqn_cartpole")
    found = []
    for seed in range(flags.seeds):
        found.append(one(seed))
        mean, taken, seconds = found[-1]
        print(f"seed {seed}: {mean:.1f} after {taken:,.0f} steps, {seconds:.0f} s", flush=True)
    means, steps, seconds_of = (list(column) for column in zip(*found, strict=True))
    solved = sum(m >= MARK and s <= 60 * MINUTES for m, _, s in found)
    print(f"{solved} of {flags.seeds} reach {MARK:g} within {MINUTES:g} minutes")
    if flags.save:
        record.record(
            "dqn_cartpole",
            {"return": {"dqn mlp": means}},
            unit=f"mean of {GAMES} games",
            title=f"CartPole: {solved} of {flags.seeds} runs reach {MARK:g}",
            solved=solved,
            runs=flags.seeds,
            agent_steps=steps,
            seconds=seconds_of,
        )


if __name__ == "__main__":
    main()
