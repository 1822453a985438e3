"""How far does `dqn --preset=minatar` get in MinAtar's Breakout in a million frames?

    python -m benchmarks.dqn_minatar --seeds 3

Each run is the public command. Its best checkpoint, chosen by the run's own evaluations, then plays
100 other games, one action in twenty by chance. Ten times what chance alone brings is the mark.
Runs stay in the folder, and go on where they were cut off.
"""

import dataclasses
import pathlib
import statistics

import tyro

from benchmarks import played, record

GAMES, EPSILON, TIMES, MINUTES = 100, 0.05, 10.0, 60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains from some seeds, each followed by 100 games.

    Attributes:
        seeds: Runs.
        folder: Where they are kept.
        save: Whether to write docs/results/dqn_minatar.json and .png.
    """

    seeds: int = 3
    folder: pathlib.Path = pathlib.Path("runs/benchmarks")
    save: bool = True


def main() -> None:
    """Trains, plays, prints and records."""
    from training import quiet

    quiet.import_tensorflow()
    flags = tyro.cli(Flags, prog="python -m benchmarks.dqn_minatar")
    means, minutes, steps, curves = [], [], [], {}
    for seed in range(flags.seeds):
        folder = flags.folder / f"dqn-minatar-{seed}"
        entries = played.trained(folder, "--model=dqn", "--preset=minatar", f"--seed={seed}")
        curves[f"seed {seed}"] = played.curve(entries)
        means.append(statistics.mean(played.returns(folder, games=GAMES, epsilon=EPSILON)))
        minutes.append(played.seconds(entries) / 60)
        steps.append(max(curves[f"seed {seed}"]))
        print(f"seed {seed}: {means[-1]:.2f} in {minutes[-1]:.1f} minutes", flush=True)
    chance = played.returns(folder, games=GAMES, epsilon=1.0)
    mark = TIMES * statistics.mean(chance)
    reached = sum(m >= mark and t <= MINUTES for m, t in zip(means, minutes, strict=True))
    print(f"by chance {statistics.mean(chance):.2f}; {reached} of {flags.seeds} reach {mark:.2f}")
    if flags.save:
        record.record(
            "dqn_minatar",
            {"return": {"dqn minatar": means, "by chance": chance}},
            unit=f"mean of {GAMES} games, by chance of each",
            title=f"MinAtar Breakout: {reached} of {flags.seeds} runs reach ten times chance",
            picture=lambda file: played.draw(file, curves, {"ten times chance": mark}),
            reached=reached,
            runs=flags.seeds,
            agent_steps=steps,
            minutes=minutes,
        )


if __name__ == "__main__":
    main()
