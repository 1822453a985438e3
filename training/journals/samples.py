"""samples/00000250-NAME.txt and .png: what the model made at an evaluation."""

import pathlib

import tensorflow as tf

from training.config import Run
from training.files import write_atomically
from training.journals import Entry, is_kept


class Samples:
    """A sink."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def write(self, entry: Entry) -> None:
        if entry.texts or entry.pictures:
            self.folder.mkdir(exist_ok=True)
        for name, text in entry.texts.items():
            write_atomically(self.folder / f"{entry.step:08d}-{name}.txt", text)
        for name, picture in entry.pictures.items():
            png = tf.io.encode_png(picture).numpy()
            write_atomically(self.folder / f"{entry.step:08d}-{name}.png", png)

    def rewind(self, step: int, *, evaluated: bool = True) -> None:
        for at, file in files(self.folder):
            if not is_kept(at, "eval", step, evaluated=evaluated):
                file.unlink()

    def close(self) -> None:
        pass


def files(folder: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    """The step and file of every sample, oldest first."""
    found = sorted(f for kind in ("txt", "png") for f in folder.glob(f"*-*.{kind}"))
    return [(int(f.name.split("-")[0]), f) for f in found if f.name.split("-")[0].isdigit()]


def make(run: Run) -> Samples:
    """The sink of a run."""
    return Samples(run.run_dir / "samples")
