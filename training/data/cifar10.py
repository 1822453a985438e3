"""CIFAR-10: the binary version, or a tree of one folder a class, also in a zip."""

import io
import pathlib

import numpy as np

from training.data import trees
from training.data.labelled import Source, Split

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
RECORD = 1 + 3 * 32 * 32  # a label, then red, green and blue
KINDS = (".jpg", ".jpeg", ".png")
EXTRACTOR = "cifar10_resnet"


def read(data_dir: pathlib.Path | None) -> Source:
    """50,000 pictures uint8 [n, 32, 32, 3] to learn from and 10,000 held out, as far as they are.

    Raises:
        ValueError: there is no folder, or it holds neither form whole.
    """
    if data_dir is None:
        raise ValueError(
            "--data=cifar10 needs --data-dir, a folder with the binary version "
            "(data_batch_1.bin and so on), or with train and test folders of one folder a class, "
            "or a zip of these; --data=digits needs nothing."
        )
    binary = sorted(data_dir.rglob("data_batch_*.bin")) if data_dir.is_dir() else []
    if binary:
        train, held_out = _records(binary), _records([binary[0].with_name("test_batch.bin")])
        return Source(train=train, eval=held_out, labels=CLASSES, extractor=EXTRACTOR)
    zips = [data_dir] if data_dir.is_file() else sorted(data_dir.glob("*.zip"))
    return _labelled(zips[0] if zips else data_dir)


def _records(files: list[pathlib.Path]) -> Split:
    """The binary version's records, one after another."""
    parts = []
    for file in files:
        try:
            raw = np.fromfile(file, np.uint8)
        except OSError as error:
            raise ValueError(f"Cannot read {file}: {error.strerror}.") from error
        if not len(raw) or len(raw) % RECORD:
            raise ValueError(
                f"{file} holds {len(raw):,} bytes, which are no records of {RECORD:,} bytes."
            )
        parts.append(raw.reshape(-1, RECORD))
    rows = np.concatenate(parts)
    pictures = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(inputs=np.ascontiguousarray(pictures), labels=rows[:, 0].astype(np.int32))


def _labelled(place: pathlib.Path) -> Source:
    """Pictures by the two last folders of their paths: train or test, then the class."""
    import PIL.Image

    found: dict[str, tuple[list[np.ndarray], list[str]]] = {"train": ([], []), "test": ([], [])}
    tree = trees.read(place)
    for number, path in enumerate(tree.names):
        part, name = path.split("/")[-3:-1] if path.count("/") >= 2 else ("", "")
        if part not in found or not path.lower().endswith(KINDS):
            continue
        try:
            with PIL.Image.open(io.BytesIO(tree.content(number))) as picture:
                pixels = np.asarray(picture.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{path} in {place} is no readable picture: {error}.") from error
        if pixels.shape != (32, 32, 3):
            raise ValueError(
                f"{path} in {place} has {pixels.shape[1]} x {pixels.shape[0]} pixels; CIFAR's "
                "pictures have 32 x 32. --data=image_folder takes any."
            )
        found[part][0].append(pixels)
        found[part][1].append(name)
    names = sorted({*found["train"][1], *found["test"][1]})
    if not found["train"][0] or not found["test"][0]:
        raise ValueError(
            f"{place} holds neither data_batch_*.bin nor pictures in train/CLASS and "
            "test/CLASS, nor a zip of these."
        )
    splits = {
        part: Split(
            inputs=np.stack(pictures),
            labels=np.array([names.index(name) for name in of], np.int32),
        )
        for part, (pictures, of) in found.items()
    }
    return Source(
        train=splits["train"], eval=splits["test"], labels=tuple(names), extractor=EXTRACTOR
    )
