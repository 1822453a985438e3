"""Does `dqn --preset=nature` learn anything of Atari's Breakout at a budget for two cores?

    python -m benchmarks.dqn_atari

The run is the public command: 200,000 agent steps, 800,000 frames, where the paper has 50 million.
So this is no reproduction of the paper's figure; it shows that the curve rises above chance. The
best checkpoint, chosen by the run's own evaluations, then plays 30 other games as the paper does:
up to 30 frames without an action at the start, one action in twenty by chance, all lives,
rewards as they are. Runs stay in the folder, and go on where they were cut off.
"""

import dataclasses
import pathlib
import statistics

import tyro

from benchmarks import played, record

GAMES, EPSILON = 30, 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains from some seeds, each followed by 30 games.

    Attributes:
        seeds: Runs.
        folder: Where they are kept.
        save: Whether to write docs/results/dqn_atari.json and .png.
    """

    seeds: int = 1
    folder: pathlib.Path = pathlib.Path("runs/benchmarks")
    save: bool = True


def main() -> None:
    """Trains, plays, prints and records."""
    from training import quiet

    quiet.import_tensorflow()
    flags = tyro.cli(Flags, prog="python -m benchmarks.dqn_atari")
    games, means, minutes, curves = {}, [], [], {}
    for seed in range(flags.seeds):
        name, folder = f"seed {seed}", flags.folder / f"dqn-atari-{seed}"
        entries = played.trained(folder, "--model=dqn", "--preset=nature", f"--seed={seed}")
        curves[name] = played.curve(entries)
        games[f"dqn nature, {name}"] = played.returns(folder, games=GAMES, epsilon=EPSILON)
        means.append(statistics.mean(games[f"dqn nature, {name}"]))
        minutes.append(played.seconds(entries) / 60)
        print(f"{name}: {means[-1]:.2f} in {minutes[-1]:.1f} minutes", flush=True)
    games["by chance"] = played.returns(folder, games=GAMES, epsilon=1.0)
    chance = statistics.mean(games["by chance"])
    steps = max(max(curve) for curve in curves.values())
    print(f"by chance {chance:.2f}; trained for {steps:,} agent steps")
    if flags.save:
        record.record(
            "dqn_atari",
            {"return": games},
            unit=f"{GAMES} games each",
            title=f"Atari Breakout after {steps:,} of the paper's 12,500,000 agent steps: "
            f"mean {statistics.mean(means):.1f}, by chance {chance:.1f}",
            picture=lambda file: played.draw(file, curves, {"by chance": chance}),
            means=means,
            agent_steps=steps,
            minutes=minutes,
        )


if __name__ == "__main__":
    main()
