"""The networks of `training.extractors`: how well do they read, and what are they made of?

    python -m benchmarks.extractors --mnist=FOLDER --cifar10=FOLDER

Each is trained by the public command and packed without its head, kernels in float16, beside
`training/extractors/__init__.py`, where the digests that are printed are to be written. A pinned
file stays as it is unless `--pack` names it: whoever trains on another machine gets a network that
reads as well, but other bits and so another extractor. What is recorded is the error of the whole
network, before it was packed, on all held-out pictures. Runs stay in `--runs-dir`; the same command
goes on where it was stopped.
"""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import tyro

from benchmarks import record, runs

COMMANDS = {
    "digits_resnet": ("--model=resnet",),
    "mnist_resnet": (
        *("--model=resnet", "--data=mnist", "--config.size=28", "--batch-size=128"),
        *("--steps=1500", "--eval-batches=79", "--eval-every=500", "--save-every=500"),
    ),
    "cifar10_resnet": (
        *("--model=resnet", "--preset=cifar-20", "--data=cifar10", "--recipe=cpu"),
        *("--batch-size=128", "--steps=2400", "--eval-batches=79", "--optimizer.weight-decay=5e-4"),
        *("--eval-every=600", "--save-every=600", "--schedule.warmup-steps=200"),
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains the extractors.

    Attributes:
        mnist: MNIST's four IDX files.
        cifar10: CIFAR-10, as training.run takes it.
        only: Of COMMANDS.
        pack: Of COMMANDS, whose files are written anew.
        runs_dir: Where runs are kept.
        save: Whether to write docs/results/extractors.json and .png.
    """

    mnist: pathlib.Path | None = None
    cifar10: pathlib.Path | None = None
    only: tuple[str, ...] = tuple(COMMANDS)
    pack: tuple[str, ...] = ()
    runs_dir: pathlib.Path = pathlib.Path("runs/extractors")
    save: bool = True


def pack(run_dir: pathlib.Path, name: str) -> str:
    """Writes the file of an extractor from its run; gives the file's SHA-256."""
    from safetensors.numpy import save_file

    from kmodels.core.codecs import folder
    from training import checkpoints, extractors, files
    from training import runs as folders

    config = folders.read(run_dir).config
    weights = checkpoints.model_weights(folders.tensors(run_dir, "last"))
    codec = dataclasses.asdict(folder.load(run_dir / "codec"))
    del codec["examples"]
    tensors = {
        variable.path: weights[variable.path].astype(
            np.float16 if variable.ndim > 1 else np.float32
        )
        for variable in extractors.headless(config).weights
    }
    facts = {"config": dataclasses.asdict(config), "codec": codec}
    file = extractors.FOLDER / f"{name}.safetensors"
    save_file(tensors, file, metadata={extractors.FACTS: json.dumps(facts)})
    file.chmod(0o644)
    return files.digest(file)


def trained(flags: Flags, name: str) -> list[dict[str, Any]]:
    """The log of an extractor's run."""
    data = name.removesuffix("_resnet")
    folder = getattr(flags, data, None)
    where = () if folder is None else (f"--data-dir={folder}",)
    return runs.kept(flags.runs_dir / name, *COMMANDS[name], *where, "--no-export")


def main() -> None:
    """Trains, packs, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.extractors")
    errors, seconds = {}, {}
    for name in flags.only:
        entries = trained(flags, name)
        last = [entry for entry in entries if entry["split"] == "eval"][-1]
        errors[name] = [100 * last["error"]]
        seconds[name] = sum(e["seconds"] for e in entries if e["split"] == "train")
        print(f"{name}: {errors[name][0]:.2f} % wrong after {seconds[name]:.0f} s", flush=True)
        if name in flags.pack:
            print(f'    "{name}": "{pack(flags.runs_dir / name, name)}",', flush=True)
    if flags.save:
        record.record(
            "extractors",
            {"held-out error": errors},
            unit="per cent",
            title="The networks that judge made pictures: what they misread",
            commands={name: " ".join(COMMANDS[name]) for name in flags.only},
            seconds=seconds,
        )


if __name__ == "__main__":
    main()
