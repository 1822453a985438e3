"""Handwritten digits of 8 x 8 pixels, as scikit-learn carries them: no network, no files.

1,797 digits that 13 people wrote (UCI, Optical Recognition of Handwritten Digits, the test part).
"""

import importlib.util
import pathlib

import numpy as np

from training.data.labelled import Source, Split

HELD_OUT = 360  # the last fifth: mostly of people whose hands the others do not show


def read(data_dir: pathlib.Path | None) -> Source:
    """Pictures uint8 [n, 8, 8, 1], white on black, the last fifth held out.

    Raises:
        ValueError: a folder is given, which this source has no use for.
    """
    if data_dir is not None:
        raise ValueError(
            f"--data=digits is embedded and reads no folder, and --data-dir={data_dir} was given; "
            "--data=mnist, --data=cifar10 and --data=image_folder read folders."
        )
    rows = np.loadtxt(_file(), delimiter=",")  # 64 values from 0 to 16, and the digit
    ink = np.round(rows[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    labels = rows[:, -1].astype(np.int32)
    return Source(
        train=Split(inputs=ink[:-HELD_OUT], labels=labels[:-HELD_OUT]),
        eval=Split(inputs=ink[-HELD_OUT:], labels=labels[-HELD_OUT:]),
        labels=tuple(str(digit) for digit in range(10)),
        extractor="digits_resnet",
    )


def _file() -> pathlib.Path:
    """The table in the package, which is not imported: that takes as long as TensorFlow."""
    package = importlib.util.find_spec("sklearn")
    assert package is not None and package.origin is not None
    return pathlib.Path(package.origin).with_name("datasets") / "data" / "digits.csv.gz"
