"""How long is one training step of a VAE, a DCGAN and a DDPM, ours and PyTorch's?

    python -m benchmarks.generative_step --rounds=7

The VAE is the paper's for MNIST (batch 100, Adagrad with a prior on the weights, pixels thrown
black or white). The DCGAN is the paper's of 64 pixels, in batches of 16: one update of the
discriminator, one of the generator, each of latents of its own. The DDPM is a U-Net of a million
parameters at 32 pixels, batch 32, without dropout: Adam, clipped to norm 1, weights averaged. All
in float32, on random pictures, with the random numbers drawn in the step. Ours is the learner's
step as a run of the paper's recipe makes it. The twins are written in PyTorch, the U-Net is
diffusers'; PyTorch gets both memory layouts, or both forms of Adagrad, and the faster counts.

The floor is the step's convolutions and matrix products alone, each by the faster of PyTorch and
TensorFlow, and one pass over weights, gradients and the optimizer's slots.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import peers, steps
from benchmarks.steps import POOL, Make

LAYOUTS = ("channels-first", "channels-last")
VARIANTS = {"vae": ("fused", "foreach"), "dcgan": LAYOUTS, "ddpm": LAYOUTS}
UNET: dict[str, Any] = {
    "size": 32,
    "channels": 3,
    "width": 32,
    "multipliers": (1, 2, 2),
    "blocks": 1,
    "attention": (16,),
    "groups": 8,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A network and the batch that it is timed on.

    Attributes:
        paper: Of the zoo.
        title: For the tables.
        config: Fields of the paper's config that are not its own preset's.
        shape: Of a batch of pictures, [B, H, W, C].
        steps: Steps in a turn.
    """

    paper: str
    title: str
    config: Mapping[str, Any]
    shape: tuple[int, ...]
    steps: int

    def pool(self) -> np.ndarray:
        """Random pictures float32 [POOL, B, H, W, C]: of 0 to 1 for the VAE, else of -1 to 1."""
        random = np.random.default_rng(0)
        pictures = random.random((POOL, *self.shape), dtype=np.float32)
        return pictures if self.paper == "vae" else 2 * pictures - 1


CASES = {
    "vae": Case("vae", "VAE, batch 100 of 28 px", {}, (100, 28, 28, 1), 200),
    "dcgan": Case("dcgan", "DCGAN, batch 16 of 64 px", {}, (16, 64, 64, 3), 2),
    "ddpm": Case("ddpm", "DDPM, batch 32 of 32 px", UNET, (32, 32, 32, 3), 4),
}


def ours(case: Case) -> tuple[peers.Job, str]:
    """This project's step, as a run of the paper's recipe in these batches makes it."""
    from kmodels.core import zoo
    from training import recipes

    paper: Any = zoo.load(case.paper)
    module: Any = recipes.load(case.paper)
    options = {"dropout": 0.0} if case.paper == "ddpm" else {}
    config = paper.Config(**case.config, **options)
    recipe = module.paper(config)
    recipe = dataclasses.replace(recipe, batch_size=case.shape[0])
    learner = steps.learner(case.paper, config, recipe)
    about = f"{paper.param_count(config):,} parameters"
    return steps.ours(learner, {"image": case.pool()}), about


def makers(case: Case) -> dict[str, Make]:
    """The peers of a case by name; what stands after a colon is a variant, the fastest counts."""
    found: dict[str, Make] = {"ours": lambda: ours(case)}
    for name, compiled in (("torch-compile", True), ("torch-eager", False)):
        for variant in VARIANTS[case.paper]:
            found[f"{name}:{variant}"] = functools.partial(_twin, case, variant, compiled)
    torch = ["torch"] if case.paper == "vae" else [f"torch-{layout}" for layout in LAYOUTS]
    for library in (*torch, "tensorflow"):
        found[f"floor:{library}"] = functools.partial(_floor, case, library)
    return found


def _twin(case: Case, variant: str, compiled: bool) -> tuple[peers.Job, str]:
    from benchmarks import generative_twins

    return generative_twins.job(case.paper, case.config, case.pool(), variant, compiled=compiled)


def _floor(case: Case, library: str) -> tuple[peers.Job, str]:
    from benchmarks import generative_floor

    return generative_floor.job(case.paper, case.config, case.shape, library)


if __name__ == "__main__":
    steps.main(__file__, CASES, makers, "One training step of a generative model")
