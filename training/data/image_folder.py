"""Folders of JPEG and PNG files, one a class, of any sizes; also in a zip.

TREE/train/CLASS with TREE/val/CLASS (or valid, validation, eval, test), or TREE/CLASS alone, of
which a tenth is then held out. Files may lie deeper; one leading folder is passed over. Pictures
stay on disk: what tells two trees apart is their paths, sizes and how each file begins, for to read
all of them would take as long as an epoch.
"""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from kmodels.core import zoo
from training.data import trees
from training.data.encoded import Encoded
from training.data.labelled import Source

KINDS = (".jpg", ".jpeg", ".png")
OTHERS = (".bmp", ".gif", ".heic", ".tif", ".tiff", ".webp")
TRAIN = "train"
HELD_OUT = ("val", "valid", "validation", "eval", "test")
EVERY = 10  # one picture in so many is held out where there is no folder of them

Classes = Mapping[str, Sequence[int]]  # the files of each class, by their numbers in the tree


def read(data_dir: pathlib.Path | None) -> Source:
    """Pictures uint8 [H, W, 3] of any sizes, read when they are wanted.

    Raises:
        ValueError: there is no such tree, or something in it is no picture or in no class.
    """
    if data_dir is None:
        raise ValueError(
            "--data=image_folder needs --data-dir, a folder or a zip of JPEG and PNG files with "
            "train/CLASS and val/CLASS in it, or with a folder for each class."
        )
    tree = trees.read(data_dir)
    parts = _parts(tree)
    remark = ""
    train: Classes
    held_out: Classes
    whole = parts[TRAIN if TRAIN in parts else ""]
    if len(whole) < 2:
        raise ValueError(
            f"{tree.place} has one class only, {next(iter(whole))}; a classifier needs two folders."
        )
    if TRAIN in parts:
        train, held_out = whole, next(parts[n] for n in HELD_OUT if n in parts)
        _check_same(train, held_out, tree)
    else:
        train, held_out = _divided(whole, tree)
        count = sum(map(len, held_out.values()))
        remark = (
            f"{tree.place} has no folders train and val: {count:,} of its pictures, one in "
            f"{EVERY} of each class, are held out, always the same."
        )
    names = tuple(sorted(train))
    return Source(
        train=_encoded(tree, train, names),
        eval=_encoded(tree, held_out, names),
        labels=names,
        remark=remark,
    )


def _encoded(tree: trees.Tree, classes: Classes, names: Sequence[str]) -> Encoded:
    numbers = np.concatenate([np.asarray(classes[name], np.int64) for name in names])
    counts = [len(classes[name]) for name in names]
    labels = np.repeat(np.arange(len(names), dtype=np.int32), counts)
    part = Encoded(tree=tree, numbers=numbers, labels=labels)
    part.check()
    return part


def _parts(tree: trees.Tree) -> dict[str, dict[str, list[int]]]:
    """The classes of "train" and of what is held out, or of "" where the tree has no such folders.

    Raises:
        ValueError: a class without a picture, a picture of another kind or in no class, or none.
    """
    pictures = {n: tuple(name.split("/")) for n, name in enumerate(tree.names) if _seen(name)}
    for number, path in pictures.items():
        if path[-1].lower().endswith(OTHERS):
            raise ValueError(f"{tree.path(number)} is neither a JPEG nor a PNG; save it as one.")
    pictures = {n: path for n, path in pictures.items() if path[-1].lower().endswith(KINDS)}
    if not pictures:
        raise ValueError(f"{tree.place} holds no JPEG or PNG files.")
    lead = _lead(list(pictures.values()))
    tops = {path[lead] for path in pictures.values() if len(path) > lead + 1}
    divided = TRAIN in tops and bool(tops & set(HELD_OUT))
    level = lead + divided
    found: dict[str, dict[str, list[int]]] = {}
    for folder in tree.folders:
        path = tuple(folder.split("/"))
        if _seen(folder) and len(path) == level + 1:
            found.setdefault(path[lead] if divided else "", {})[path[level]] = []
    for number, path in pictures.items():
        if len(path) < level + 2:
            raise ValueError(f"{tree.path(number)} lies in no folder of a class.")
        found[path[lead] if divided else ""][path[level]].append(number)
    wanted = [part for part in found if not divided or part in (TRAIN, *HELD_OUT)]
    for part in wanted:
        for name, numbers in found[part].items():
            if not numbers:
                where = f"{part}/{name}" if part else name
                raise ValueError(f"The class {where} of {tree.place} has no JPEG or PNG files.")
    return {part: found[part] for part in wanted}


def _seen(name: str) -> bool:
    """Whether no part of a path is hidden, as what programs leave behind is."""
    return not any(part.startswith((".", "__")) for part in name.split("/"))


def _lead(paths: Sequence[tuple[str, ...]]) -> int:
    """How many leading folders all pictures have in common above their classes."""
    lead = 0
    while all(len(path) > lead + 2 for path in paths) and len({path[lead] for path in paths}) == 1:
        lead += 1
    return lead


def _check_same(train: Classes, held_out: Classes, tree: trees.Tree) -> None:
    """Raises ValueError unless both parts have the same classes."""
    for one, other, where in ((held_out, train, "train"), (train, held_out, "the held-out part")):
        for name in one:
            if name not in other:
                said = zoo.unknown(f"class in {where} of {tree.place}", name, sorted(other))
                raise ValueError(said)


def _divided(classes: Classes, tree: trees.Tree) -> tuple[Classes, Classes]:
    """Every class in two, a tenth of it held out, always the same one."""
    train, held_out = {}, {}
    for name, numbers in sorted(classes.items()):
        if len(numbers) < 2:
            raise ValueError(
                f"The class {name} of {tree.place} has one picture; to hold one out it needs two."
            )
        mixed = np.random.default_rng(0).permutation(numbers)
        count = -(-len(numbers) // EVERY)
        held_out[name], train[name] = sorted(mixed[:count]), sorted(mixed[count:])
    return train, held_out
