"""Trains papers at `tiny` for ten steps on one strategy, and keeps losses and weights.

    python tests/replicas.py one|mirrored|multi_worker OUT.npz PAPER ...

A process of its own, because TensorFlow's devices are fixed once it has touched them.
"""

import os
import pathlib
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[1]
STEPS = 10
NUDGE = 1e-5  # of each weight; statistics of replicas together differ by as much in rounding
WAYS = {  # tracing takes the time: replicas are asked for all at once, workers for what differs
    "one": ("plain", "clipped", "parts"),
    "mirrored": ("parts",),
    "multi_worker": ("plain",),
}


def options(way: str, name: str, config: Any) -> dict[str, Any]:
    """How a paper is trained, beside its own recipe.

    "parts" is "clipped" with the batch cut in two, and compiled where that paper's recipe says so.
    Batch normalisation would take its statistics from each part, so there the batch stays whole.
    """
    from training import recipes

    if way == "plain":
        return {}
    if way == "clipped":
        return {"clip_norm": 1e-3}
    whole = hasattr(config, "statistics") and getattr(config, "batch_norm", True)
    xla = recipes.load(name).recipe(config).xla
    return {"clip_norm": 1e-3, "micro_batches": 1 if whole else 2, "compile": xla}


def trained(name: str, chosen: Any, golden: Any, way: str, nudged: bool) -> dict[str, Any]:
    """Losses of the steps and the weights after them, all on the same batch.

    Also whether the model `draws`, and where it is to be nudged what becomes of the same steps from
    weights that differ in their last digits, `nudged/...`: what rounding alone may lead to.
    """
    import numpy as np
    import tensorflow as tf

    from kmodels.core import zoo
    from training import step, strategy

    config = golden.config_of(zoo.load(name))
    batch = golden.batch_of(name, config)
    with chosen.scope():
        learner = golden.learner_of(name, config, **options(way, name, config))
    many = step.repeat(learner.train_step, chosen)
    batches = tf.data.Dataset.from_tensors(batch).repeat()
    iterator = strategy.spread(batches, chosen)
    variables = [v for group in learner.state.values() for v in group]
    begun = [v.numpy() for v in variables]

    def ten_steps() -> dict[str, Any]:
        losses = [many(iterator, 1)["loss"] for _ in range(STEPS)]
        return {"losses": losses, **{v.path: v.numpy() for v in learner.model.trainable_variables}}

    found = {"draws": bool(getattr(learner.model, "draws", {})), **ten_steps()}
    if nudged:
        for variable, value in zip(variables, begun, strict=True):
            variable.assign(value)
        signs = np.random.default_rng(0)
        for variable in learner.model.trainable_variables:
            sign = signs.choice([-1, 1], variable.shape)
            variable.assign(variable.numpy() * (1 + NUDGE * sign))
        found |= {f"nudged/{key}": value for key, value in ten_steps().items()}
    return found


def main(kind: str, out: str, *names: str) -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "golden")]
    from training import quiet

    quiet.import_tensorflow()
    import generate as golden
    import numpy as np
    import tensorflow as tf

    from training import strategy

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # as conftest

    chosen = strategy.make(kind, replicas=2 if kind == "mirrored" else None)
    assert chosen.num_replicas_in_sync == (1 if kind == "one" else 2)
    arrays = {
        f"{name}|{way}|{key}": value
        for name in names
        for way in WAYS[kind]
        for key, value in trained(
            name, chosen, golden, way, nudged=(kind, way) == ("one", "plain")
        ).items()
    }
    if strategy.is_chief(chosen):
        np.savez(out, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
