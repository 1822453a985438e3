"""How long is one training step of ResNet-20 and of ViT-Ti/16, ours and PyTorch's?

    python -m benchmarks.vision_step --rounds=7

ResNet-20 (option A, 32 px, batch 128) with SGD, momentum 0.9, decay 1e-4 on all weights; ViT-Ti/16
(224 px, 1,000 classes, batch 16, tanh GELU, no dropout) with AdamW, decay 0.3 on matrices, clipped
to norm 1; all in float32, on random pictures. Ours is the learner's step, as its recipe compiles
it. The twins are a ResNet-20 written here in PyTorch and transformers' ViT; PyTorch gets both
memory layouts, and both forms of AdamW, and the faster counts. The floor is the step's
convolutions or matrix products alone, each by the faster of PyTorch and TensorFlow.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from benchmarks import peers, steps
from benchmarks.steps import POOL, Make

SGD = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
ADAMW: dict[str, Any] = {"learning_rate": 1e-3, "weight_decay": 0.3, "clip_norm": 1.0}
VARIANTS = {"resnet": ("channels-first", "channels-last"), "vit": ("fused", "foreach")}
FLOORS = {
    "resnet": ("torch-channels-first", "torch-channels-last", "tensorflow"),
    "vit": ("torch", "tensorflow"),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A network and the batch that it is timed on.

    Attributes:
        paper: Of the zoo.
        preset: Of the paper.
        title: For the tables.
        side: Of the pictures.
        classes: Of the labels.
        batch: Pictures in a step.
        steps: Steps in a turn.
    """

    paper: str
    preset: str
    title: str
    side: int
    classes: int
    batch: int
    steps: int

    def pool(self) -> tuple[np.ndarray, np.ndarray]:
        """Random pictures float32 [POOL, batch, side, side, 3] and labels int32 [POOL, batch]."""
        random = np.random.default_rng(0)
        shape = (POOL, self.batch, self.side, self.side, 3)
        labels = random.integers(0, self.classes, shape[:2], dtype=np.int32)
        return random.standard_normal(shape, dtype=np.float32), labels


CASES = {
    "resnet": Case("resnet", "cifar-20", "ResNet-20, batch 128 at 32 px", 32, 10, 128, 4),
    "vit": Case("vit", "ti-16", "ViT-Ti/16, batch 16 at 224 px", 224, 1000, 16, 2),
}


def ours(case: Case) -> tuple[peers.Job, str]:
    """This project's step as a run makes it: many steps in a graph, compiled as the recipe says."""
    from kmodels.core import zoo
    from training import optimization, optimizers, recipes, step
    from training.learners import gradient
    from training.objectives.classification import classification

    paper = zoo.load(case.paper)
    config = paper.PRESETS[case.preset]
    if case.paper == "vit":
        step.share_cores(case.batch)
        config = dataclasses.replace(config, dropout=0.0)
    model = paper.build(config)
    values = optimization.AdamW(**ADAMW) if case.paper == "vit" else _sgd(optimization.SGD)
    learner = gradient.Gradient(
        model=model,
        objective=classification,
        optimizer=optimizers.make(values, optimization.Constant(), 2000, model),
        clip_norm=values.clip_norm,
        micro_batches=1,
        compile=recipes.load(case.paper).recipe(config).xla,
    )
    pictures, labels = case.pool()
    about = f"{paper.param_count(config):,} parameters"
    return steps.ours(learner, {"image": pictures, "label": labels}), about


def _sgd(kind: Any) -> Any:
    return kind(**SGD, decay="all")


def makers(case: Case) -> dict[str, Make]:
    """The peers of a case by name; what stands after a colon is a variant, the fastest counts."""
    found: dict[str, Make] = {"ours": lambda: ours(case)}
    for name, compiled in (("torch-compile", True), ("torch-eager", False)):
        for variant in VARIANTS[case.paper]:
            found[f"{name}:{variant}"] = functools.partial(_twin, case, variant, compiled)
    for library in FLOORS[case.paper]:
        found[f"floor:{library}"] = functools.partial(_floor, case, library)
    return found


def _twin(case: Case, variant: str, compiled: bool) -> tuple[peers.Job, str]:
    from benchmarks import vision_twins

    return vision_twins.job(case.paper, variant, case.pool(), compiled=compiled)


def _floor(case: Case, library: str) -> tuple[peers.Job, str]:
    from benchmarks import vision_floor

    return vision_floor.job(case, library)


if __name__ == "__main__":
    steps.main(__file__, CASES, makers, "One training step")
