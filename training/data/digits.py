"""Handwritten digits of 8 x 8 pixels, as scikit-learn carries them: no network, no files.

1,797 digits that 13 people wrote (UCI, Optical Recognition of Handwritten Digits, the test part).
"""

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
    from sklearn.datasets import load_digits

    found = load_digits()
    ink = np.round(found.images * (255 / 16)).astype(np.uint8)[..., None]  # from 0 to 16
    labels = found.target.astype(np.int32)
    return Source(
        train=Split(inputs=ink[:-HELD_OUT], labels=labels[:-HELD_OUT]),
        eval=Split(inputs=ink[-HELD_OUT:], labels=labels[-HELD_OUT:]),
        labels=tuple(str(digit) for digit in range(10)),
    )
