"""How many modes of a ring and a grid of Gaussians does a GAN find, and a diffusion model?

    python -m benchmarks.modes --steps 20000 --seeds 0 1 2

Each run is the public command. GANs, alone, in pairs and in fours, are of the networks and the
optimizer of PacGAN (Lin et al. 2018) and take as many steps of 100 points as the flag says; the
paper takes 400,000, so its table, over ten seeds, is no bar for fewer. DDPM is our network for
points with our recipe, in as many steps as its own flag says. What counts is the last evaluation,
of 2,500 points: modes with at least one point within three deviations, modes with a hundredth of
all points there, the share of points that are there, and the reverse KL divergence from equal
shares. No checkpoint was chosen.
"""

import dataclasses
import statistics
import time
from typing import Any

import tyro

from benchmarks import record, runs

NETWORKS = {  # model and preset
    "GAN": ("gan", "points"),
    "PacGAN2": ("gan", "points-pac2"),
    "PacGAN4": ("gan", "points-pac4"),
    "DDPM": ("ddpm", "points"),
}
MODES = {"ring": 8, "grid": 25}
NUMBERS = ("modes", "modes_1_percent", "high_quality", "reverse_kl")
PAPER = {  # modes, share of high quality, reverse KL
    "ring": {
        "GAN": (6.3, 0.982, 0.45),
        "PacGAN2": (7.9, 0.956, 0.07),
        "PacGAN4": (7.8, 0.959, 0.07),
    },
    "grid": {
        "GAN": (17.3, 0.948, 0.70),
        "PacGAN2": (23.8, 0.913, 0.13),
        "PacGAN4": (24.8, 0.936, 0.04),
    },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains GANs and diffusion models on points.

    Attributes:
        data: Of MODES.
        networks: Of NETWORKS.
        seeds: One run each.
        steps: Of each GAN's run, a multiple of 100.
        ddpm_steps: Of each diffusion model's, likewise.
        save: Whether to write docs/results/modes.json and .png.
    """

    data: tuple[str, ...] = tuple(MODES)
    networks: tuple[str, ...] = tuple(NETWORKS)
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 20_000
    ddpm_steps: int = 4000
    save: bool = True


def last(data: str, network: str, *, seed: int, steps: int) -> dict[str, float]:
    """What the last evaluation of a run found, and the seconds of the whole command."""
    began = time.perf_counter()
    model, preset = NETWORKS[network]
    entries = runs.logged(
        *(f"--model={model}", f"--preset={preset}", f"--data={data}", f"--seed={seed}"),
        *(f"--steps={steps}", f"--eval-every={steps}", f"--save-every={steps}", "--no-export"),
    )
    (seen,) = (e for e in entries if e["split"] == "eval" and e["step"] == steps)
    return {n: seen[n] for n in NUMBERS} | {"seconds": time.perf_counter() - began}


def table(found: dict[str, dict[str, list[dict[str, float]]]]) -> list[dict[str, Any]]:
    """A row for each task and network: means over the seeds, and the paper's."""
    rows = []
    for data, networks in found.items():
        for network, seeds in networks.items():
            means = {n: statistics.fmean(s[n] for s in seeds) for n in seeds[0]}
            names = ("modes", "high_quality", "reverse_kl")
            theirs = PAPER[data].get(network)
            paper = dict(zip(names, theirs, strict=True)) if theirs else None
            rows.append({"data": data, "network": network, **means, "paper": paper})
            told = ", ".join(f"{name} {means[name]:.3g}" for name in NUMBERS)
            print(f"{data}, {network}: {told} (of {MODES[data]} modes)", flush=True)
    return rows


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.modes")
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for data in flags.data:
        found[data] = {network: [] for network in flags.networks}
        for seed in flags.seeds:
            for network in flags.networks:
                steps = flags.ddpm_steps if network == "DDPM" else flags.steps
                seen = last(data, network, seed=seed, steps=steps)
                found[data][network].append(seen)
                said = f"{seen['modes']:.0f} of {MODES[data]} modes in {seen['seconds']:.0f} s"
                print(f"{data}, {network}, seed {seed}: {said}", flush=True)
    rows = table(found)
    if flags.save:
        values = {
            f"{data}, {MODES[data]} modes": {
                network: [seen["modes"] for seen in seeds] for network, seeds in networks.items()
            }
            for data, networks in found.items()
        }
        record.record(
            "modes",
            values,
            unit="modes found",
            title=f"Modes found: GANs after {flags.steps:,} steps, DDPM after {flags.ddpm_steps:,}",
            steps=flags.steps,
            ddpm_steps=flags.ddpm_steps,
            paper_steps=400_000,
            table=rows,
            runs=found,
        )


if __name__ == "__main__":
    main()
