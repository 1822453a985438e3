"""What a diffusion model makes of noise, and of held-out pictures under more and more of it."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import tensorflow as tf

from kmodels.core.denoising import NO_LABEL
from kmodels.core.paper import Endpoint
from training.evaluators import modes, pictures
from training.loop import Evaluator
from training.prepared import Prepared

STEPS = 20  # of the sampler
ROWS = 20  # pictures of a grid
TIMES = 8  # of a strip
WALK = 100  # steps of the sampler of points


def drawing(model: Any, codec: Any) -> Callable[[tf.Tensor], tf.Tensor]:
    """Gives pictures uint8 [n, S, S, C] of seeds int64 [n], by DDIM in few steps and in one batch.

    Where the network can be told a class, those of the seeds 0, 1, 2 ... are asked for in turn.
    It is traced once, for any number of seeds.
    """
    steps = min(STEPS, model.process.steps)

    def draw(seeds: tf.Tensor) -> tf.Tensor:
        count = tf.shape(seeds)
        told = seeds % model.labels if model.labels else tf.fill(count, np.int64(NO_LABEL))
        options = {
            "steps": tf.fill(count, steps),
            "eta": tf.zeros(count),
            "labels": tf.cast(told, tf.int32),
            "scale": tf.ones(count),
        }
        return codec.unsee(model.sample(model.noise(seeds), seeds, **options))

    some = tf.TensorSpec([None], tf.int64)
    return cast(
        Callable[[tf.Tensor], tf.Tensor],
        tf.function(draw, input_signature=[some], autograph=False),
    )


def samples(draw: Callable[[tf.Tensor], tf.Tensor], model: Any, prepared: Prepared) -> Evaluator:
    """A function that gives {"samples": a grid}, from the same seeds each time.

    Args:
        draw: `drawing` of the model.
    """
    labels = prepared.codec.labels
    captions = [labels[i % model.labels] if model.labels else "" for i in range(ROWS)]
    seeds = tf.range(ROWS, dtype=tf.int64)

    def look() -> dict[str, Any]:
        return {"samples": pictures.sheet(draw(seeds).numpy(), captions)}

    return look


def strip(model: Any, prepared: Prepared) -> Evaluator:
    """A function that gives {"denoised": one held-out picture at growing times}.

    Above is what the network is shown, below the picture that its answer speaks of.
    """
    codec = prepared.codec
    batch = next(iter(prepared.data.batches("eval", 1, seed=0)))
    times = tf.constant(np.linspace(0, model.process.steps - 1, TIMES).astype(np.int32))
    clean = tf.repeat(batch["image"], TIMES, axis=0)
    labels = tf.repeat(batch["label"], TIMES, axis=0)
    noise = tf.repeat(model.noise(tf.constant([0], tf.int64)), TIMES, axis=0)
    captions = [*(f"time {t}" for t in times.numpy()), *[""] * TIMES]

    def draw() -> tf.Tensor:
        noisy = model.process.noised(clean, noise, times)
        said = tf.cast(model(noisy, times, labels), tf.float32)
        return codec.unsee(tf.concat([noisy, model.process.cleaned(noisy, said, times)], 0))

    made = tf.function(draw, autograph=False)

    def look() -> dict[str, Any]:
        return {"denoised": pictures.sheet(made().numpy(), captions)}

    return look


def points(model: Any, prepared: Prepared, *, count: int = modes.POINTS) -> Evaluator:
    """`modes.found` of points drawn by the random walk (eta 1) in few steps, of no class.

    They are drawn in one batch: the endpoint, which makes each row by itself, would take minutes.
    """
    data: Any = prepared.data

    def sample(seed: tf.Tensor) -> dict[str, tf.Tensor]:
        options = {
            "steps": tf.fill(tf.shape(seed), min(WALK, model.process.steps)),
            "eta": tf.ones(tf.shape(seed)),
            "labels": tf.fill(tf.shape(seed), NO_LABEL),
            "scale": tf.ones(tf.shape(seed)),
        }
        seen = model.sample(model.noise(seed), seed, **options)
        return {"features": prepared.codec.unsee(seen)}

    inputs = {"seed": tf.TensorSpec([None], tf.int64)}
    endpoint = Endpoint(function=sample, inputs=inputs, example={"seed": [0, 1]})
    return modes.found(endpoint, data.source, count=count)
