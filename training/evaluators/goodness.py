"""How good each layer finds real examples and made-up ones, to be looked at."""

from typing import Any

import numpy as np
import tensorflow as tf

from kmodels import forward_forward
from training import draws
from training.evaluators.pictures import drawn
from training.loop import Evaluator
from training.objectives import goodness as objective
from training.prepared import Prepared

BATCH = 100
MOST = 1000  # held-out pictures that are looked at
BINS = 40


def histograms(model: forward_forward.ForwardForward, prepared: Prepared) -> Evaluator:
    """Of held-out pictures the goodness over the threshold, a panel for each layer."""
    data: Any = prepared.data
    count = min(MOST, len(data.source.eval.labels))

    @tf.function(reduce_retracing=True, autograph=False)
    def both(image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        logits = model(image, training=False)
        draw = draws.added({"label": label}, model, training=False)["draw"]
        pair = objective.examples(model, image, label, logits=logits, draw=draw)
        return tf.stack([[s.goodness / s.active.shape[-1] for s in states] for states in pair])

    def look() -> dict[str, Any]:
        found = []  # [2, L, B] each
        for batch in data.batches("eval", BATCH, seed=0).take(-(-count // BATCH)):
            kept = batch["mask"].numpy() > 0
            found.append(both(batch["image"], batch["label"]).numpy()[..., kept])
        return {"goodness": picture(np.concatenate(found, axis=-1))}

    return look


def picture(shares: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of goodness over threshold [2, L, n], of real and of made-up examples."""
    layers = shares.shape[1]

    def paint(figure: Any) -> None:
        panels = figure.subplots(1, layers, squeeze=False)[0]
        for i, panel in enumerate(panels):
            ends = np.quantile(shares[:, i], [0.0, 0.995])
            bins = np.linspace(ends[0], max(ends[1], ends[0] + 1e-6), BINS)
            for side, name in enumerate(("real", "made up")):
                panel.hist(np.clip(shares[side, i], None, bins[-1]), bins, alpha=0.6, label=name)
            panel.axvline(1.0, color="black", linewidth=1)
            panel.set_title(f"layer {i + 1}: {told_apart(shares[:, i]):.0%} told apart", fontsize=9)
            panel.set_xlabel("goodness / threshold")
            panel.set_yticks([])
        panels[0].legend(fontsize=8)

    return drawn(paint, width=3.2 * layers, height=2.6)


def told_apart(shares: np.ndarray) -> float:
    """How often a real example is better than the made-up one of its picture; [2, n]."""
    return float(np.mean(shares[0] > shares[1]))
