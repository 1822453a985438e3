"""MNIST, and what is stored as it is: four IDX files, plain or gzipped."""

import gzip
import math
import pathlib

import numpy as np

from training.data.labelled import Source, Split

PICTURES, LABELS = 0x803, 0x801  # magic numbers: unsigned bytes in three dimensions, in one


def read(data_dir: pathlib.Path | None) -> Source:
    """60,000 pictures uint8 [n, 28, 28, 1] to learn from and 10,000 held out.

    Raises:
        ValueError: there is no folder, a file is missing, or is not what its name says.
    """
    if data_dir is None:
        raise ValueError(
            "--data=mnist needs --data-dir, a folder with the four IDX files "
            "(train-images-idx3-ubyte.gz and so on); --data=digits needs nothing."
        )
    return Source(
        train=_part(data_dir, "train"),
        eval=_part(data_dir, "t10k"),
        labels=tuple(str(digit) for digit in range(10)),
        extractor="mnist_resnet",
    )


def _part(folder: pathlib.Path, name: str) -> Split:
    pictures = _idx(_file(folder, f"{name}-images-idx3-ubyte"), PICTURES)
    labels = _idx(_file(folder, f"{name}-labels-idx1-ubyte"), LABELS)
    return Split(inputs=pictures[..., None], labels=labels.astype(np.int32))


def _file(folder: pathlib.Path, name: str) -> pathlib.Path:
    """The file of that name, gzipped or not, also with a dot before "idx"."""
    for candidate in (name, name.replace("-idx", ".idx")):
        for file in (folder / candidate, folder / f"{candidate}.gz"):
            if file.is_file():
                return file
    there = sorted(p.name for p in folder.iterdir())[:5] if folder.is_dir() else None
    what = "does not exist" if there is None else f"holds {', '.join(there) or 'nothing'}"
    raise ValueError(f"--data-dir={folder} has no {name} or {name}.gz; it {what}.")


def _idx(file: pathlib.Path, magic: int) -> np.ndarray:
    """The numbers of an IDX file: a magic number, the sizes, then the bytes."""
    try:
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError) as error:
        raise ValueError(f"Cannot read {file}: {error}.") from error
    dimensions = magic & 0xFF
    head = np.frombuffer(raw[: 4 * (1 + dimensions)], ">u4")
    if len(head) != 1 + dimensions or head[0] != magic:
        raise ValueError(f"{file} is no IDX file of {dimensions} dimensions of bytes.")
    shape, body = head[1:].tolist(), raw[4 * len(head) :]
    if len(body) != math.prod(shape):
        raise ValueError(
            f"{file} is cut off: it says {' x '.join(map(str, shape))} and holds {len(body):,} "
            "bytes."
        )
    return np.frombuffer(body, np.uint8).reshape(shape)
