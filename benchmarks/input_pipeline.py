"""How many photographs a second does the input pipeline decode and augment, and torch's?

    python -m benchmarks.input_pipeline --data-dir=../shared/data --rounds=7

ResNet's training augmentation at 224 x 224 from JPEG files of 500 x 375 pixels: the short side to
256 to 480, any square of 224, mirrored, colour noise, centred and scaled, in batches of 32. The
photographs are made from CIFAR-10's, enlarged, so that they have the texture of photographs. Peers
are torch's DataLoader with Pillow, one and two worker processes; resizing is bilinear and
antialiased everywhere.
"""

import dataclasses
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import tyro

from benchmarks import peers, record

SIZE, BATCH, SIDES = 224, 32, (500, 375)
SHORTS = (256, 480)
MEAN, DEVIATION = (120.0, 115.0, 105.0), (60.0, 60.0, 62.0)
COVARIANCE = np.array([[3600.0, 3300, 2900], [3300, 3600, 3300], [2900, 3300, 3844]])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Times the input pipeline on a tree of JPEG files against torch's DataLoader.

    Attributes:
        data_dir: A folder with cifar10 in it, in any form that --data=cifar10 reads.
        rounds: Times that each peer has its turn.
        batches: Batches in a turn.
        photographs: How many files there are.
        only: Peers to run; all where empty.
        save: Whether to write docs/results/input_pipeline.json and .png.
        worker: Used by the command itself.
        tree: Used by the command itself.
    """

    data_dir: pathlib.Path | None = None
    rounds: int = 7
    batches: int = 30
    photographs: int = 1000
    only: tuple[str, ...] = ()
    save: bool = True
    worker: str = ""
    tree: pathlib.Path = pathlib.Path()


def make(flags: Flags) -> None:
    """Writes the photographs: four of CIFAR's side by side, enlarged, a folder a class."""
    import PIL.Image

    from training.data import cifar10

    assert flags.data_dir is not None, "give --data-dir"
    part: Any = cifar10.read(flags.data_dir / "cifar10").eval
    for number in range(flags.photographs):
        four = part.inputs[4 * number : 4 * number + 4]
        tiled = np.concatenate([np.concatenate(four[:2], 1), np.concatenate(four[2:], 1)])
        label = part.labels[4 * number]
        file = flags.tree / "train" / str(label) / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        photograph = PIL.Image.fromarray(tiled).resize(SIDES, PIL.Image.Resampling.BICUBIC)
        noise = np.random.default_rng(number).normal(0, 6, (*SIDES[::-1], 1))  # a sensor's grain
        grainy = np.clip(np.asarray(photograph) + noise, 0, 255).astype(np.uint8)
        PIL.Image.fromarray(grainy).save(file, quality=90)


def ours(flags: Flags) -> tuple[peers.Job, str]:
    """`--data=image_folder`, as `training.recipes.resnet` uses it."""
    import tensorflow as tf

    from kmodels.core.codecs.images import Images
    from training.data import changes, crops, image_folder
    from training.data.labelled import Examples

    source = image_folder.read(flags.tree)
    codec = Images(
        labels=source.labels, size=SIZE, mean=MEAN, deviation=DEVIATION, examples=(b"", b"")
    )
    data = Examples(
        source=source,
        key="image",
        see=codec.see,
        each=crops.jittered(SIZE, shorts=SHORTS),
        changes=[changes.mirrored(), changes.coloured(COVARIANCE)],
    )
    batches = iter(data.batches("train", BATCH, seed=0))

    def job(count: int) -> None:
        for _ in range(count):
            batch = next(batches)["image"]
        assert batch.shape == (BATCH, SIZE, SIZE, 3) and batch.dtype == tf.float32

    return job, "tf.data, decoded on all cores"


def torch_loader(flags: Flags, *, workers: int) -> tuple[peers.Job, str]:
    """Pillow in torch's worker processes, the same operations."""
    import PIL.Image
    import torch

    values, vectors = np.linalg.eigh(COVARIANCE / 255**2)
    axes = (255 * values * vectors).astype(np.float32)
    mean, deviation = np.array(MEAN, np.float32), np.array(DEVIATION, np.float32)

    class Photographs(torch.utils.data.Dataset[Any]):
        def __init__(self) -> None:
            self.files = sorted(flags.tree.rglob("*.jpg"))

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
            rng = np.random.default_rng()
            with PIL.Image.open(self.files[number]) as file:
                picture = file.convert("RGB")
            short = int(rng.integers(SHORTS[0], SHORTS[1] + 1))
            scale = short / min(picture.size)
            sides = (round(picture.width * scale), round(picture.height * scale))
            picture = picture.resize(sides, PIL.Image.Resampling.BILINEAR)
            left, top = (int(rng.integers(0, side - SIZE + 1)) for side in sides)
            picture = picture.crop((left, top, left + SIZE, top + SIZE))
            if rng.random() < 0.5:
                picture = picture.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
            noise = axes @ rng.normal(0, 0.1, 3).astype(np.float32)
            seen = (np.asarray(picture, np.float32) + (noise - mean)) / deviation
            return torch.from_numpy(seen), int(self.files[number].parent.name)

    loader = torch.utils.data.DataLoader(
        Photographs(),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )

    def endless() -> Any:
        while True:
            yield from loader

    batches = endless()

    def job(count: int) -> None:
        for _ in range(count):
            pictures, _ = next(batches)
        assert pictures.shape == (BATCH, SIZE, SIZE, 3) and pictures.dtype == torch.float32

    return job, f"torch DataLoader with Pillow, {workers} worker process(es)"


PEERS: dict[str, Callable[[Flags], tuple[peers.Job, str]]] = {
    "ours": ours,
    "torch-1-worker": lambda flags: torch_loader(flags, workers=1),
    "torch-2-workers": lambda flags: torch_loader(flags, workers=2),
}


def main() -> None:
    """Makes the photographs, runs all peers in turn, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.input_pipeline")
    if flags.worker == "make":
        make(flags)
        return
    if flags.worker:
        peers.serve(lambda: PEERS[flags.worker](flags), warm=flags.batches)
        return
    names = [name for name in PEERS if not flags.only or name in flags.only]
    with tempfile.TemporaryDirectory() as place:
        tree = f"--tree={place}"
        made = [f"--data-dir={flags.data_dir}", f"--photographs={flags.photographs}"]
        peers.call(__file__, [tree, *made, "--worker=make"])
        given = [tree, f"--batches={flags.batches}"]
        found = peers.measured(
            __file__, names, rounds=flags.rounds, units=flags.batches, arguments=given
        )
    rates = {name: [BATCH / s for s in row] for name, row in found.seconds.items()}
    about = found.about
    # In a turn of torch its own worker processes would count as others.
    others = max((s for n, s in found.others.items() if not n.startswith("torch")), default=0.0)
    title = f"Decoding and augmenting JPEG files of {SIDES[0]} x {SIDES[1]} for {SIZE} x {SIZE}"
    references = [name for name in names if name.startswith("torch")]
    peers.show(title, rates, unit="images/s", references=references, about=about)
    peers.warn(others)
    if flags.save:
        record.record(
            "input_pipeline",
            {f"{SIDES[0]} x {SIDES[1]} to {SIZE} x {SIZE}": rates},
            unit="images/s",
            title=title,
            ratios={name: peers.ratios(rates, name) for name in references},
            about=about,
            others_share_of_cpu=others,
        )


if __name__ == "__main__":
    main()
