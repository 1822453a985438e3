"""Eight Gaussians on a circle of radius 1, of deviation 0.01 (PacGAN, section 4.1)."""

import pathlib

import numpy as np

from training.data.mixtures import Mixture, mixture

MODES = 8


def read(data_dir: pathlib.Path | None) -> Mixture:
    """Points float32 [n, 2], the tenth part as many held out.

    Raises:
        ValueError: a folder is given, which this source has no use for.
    """
    angles = 2 * np.pi * np.arange(MODES) / MODES  # the end is left out: it is the beginning
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1).round(12)
    return mixture("ring", centres, deviation=0.01, data_dir=data_dir)
