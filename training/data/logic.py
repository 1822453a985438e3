"""Truth tables: what AND, OR and XOR say of two bits."""

import pathlib
from typing import cast

import numpy as np

from training.data.labelled import Source, Split

GATES = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


def read(data_dir: pathlib.Path | None) -> Source:
    """All four rows, to learn from and to be asked: features [4, 2], labels [4, 3], a gate each.

    Raises:
        ValueError: a folder is given, which this source has no use for.
    """
    if data_dir is not None:
        raise ValueError(
            f"--data=logic is embedded and reads no folder, and --data-dir={data_dir} was given."
        )
    bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    says = np.stack([gate(bits[:, 0], bits[:, 1]) for gate in GATES.values()], axis=1)
    table = Split(inputs=bits, labels=says.astype(np.int32))
    return Source(train=table, eval=table, labels=tuple(GATES), names=("first", "second"))


def gate(source: Source, name: str) -> Source:
    """The table of one gate alone, its answer a class: labels [4] in {0, 1}."""
    column, whole = source.labels.index(name), cast(Split, source.train)
    table = Split(inputs=whole.inputs, labels=whole.labels[:, column])
    return Source(train=table, eval=table, labels=("false", "true"), names=source.names)
