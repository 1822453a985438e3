"""Twenty-five Gaussians on a grid, 2 apart, of deviation 0.05 (PacGAN, section 4.1)."""

import pathlib

import numpy as np

from training.data.mixtures import Mixture, mixture

SIDE = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])


def read(data_dir: pathlib.Path | None) -> Mixture:
    """Points float32 [n, 2], the tenth part as many held out.

    Raises:
        ValueError: a folder is given, which this source has no use for.
    """
    centres = np.stack(np.meshgrid(SIDE, SIDE), axis=-1).reshape(-1, 2)
    return mixture("grid", centres, deviation=0.05, data_dir=data_dir)
