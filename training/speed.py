"""How fast a run is, against what its devices could do.

The MFU (model FLOPs utilisation; PaLM, appendix B) is the step's operations, divided by its time
and by the peak: what these devices reach in a product of large matrices in the run's own precision,
measured for a third of a second when the run begins. So it tells what is lost beside the products.
"""

import os
import platform
import resource
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training import flops, step, strategy
from training.config import Run

SECONDS = 0.3  # for the measuring of the peak


class Meter:
    """Measures a run's train step, which it stands in for.

    Args:
        measures: Whether this process needs the numbers; others take no time for them.
    """

    def __init__(
        self,
        train_step: Callable[[step.Batch], step.Logs],
        run: Run,
        strategy: tf.distribute.Strategy,
        *,
        measures: bool,
    ) -> None:
        self.train_step, self.run, self.strategy = train_step, run, strategy
        self.graph: tf.Graph | None = None
        self.step_flops: float | None = None
        self.peak_flops = peak(run.precision) * _devices(strategy) if measures else 0.0

    def __call__(self, batch: step.Batch) -> step.Logs:
        """The step itself; runs only when it is traced, and remembers in which graph."""
        self.graph = tf.compat.v1.get_default_graph()
        return self.train_step(batch)

    def numbers(self, *, count: int, seconds: float) -> dict[str, float]:
        """What `count` steps of `seconds` say; counts the operations at the first call.

        Returns:
            memory_gib, the process's highest so far; gpu_memory_gib, likewise of the fullest GPU;
            mfu in [0, 1] where the step's operations are known.
        """
        if self.graph is not None:
            try:
                self.step_flops = flops.of(self.graph)
            except flops.Unknown:
                self.step_flops = None
            self.graph = None
        numbers = memory()
        if self.step_flops and self.peak_flops:
            numbers["mfu"] = self.step_flops * count / seconds / self.peak_flops
        return numbers

    def facts(self) -> dict[str, Any]:
        """What machine.json says."""
        return {
            "processor": platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "devices": [d.name for d in _gpus()] or ["CPU"],
            "replicas": self.strategy.num_replicas_in_sync,
            "workers": strategy.workers(self.strategy),
            "peak_flops": self.peak_flops,
            "step_flops": self.step_flops,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        }


def peak(precision: str) -> float:
    """Operations a second of one device in products of square matrices, the best of several.

    A CPU has as many products at once as keep all cores busy with the threads that each may use.
    """
    device, size = ("GPU:0", 8192) if _gpus() else ("CPU:0", 2048)
    kind = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
    at_once = 1 if _gpus() else step.cores() // step.threads()

    @tf.function(autograph=False)
    def products(matrix: tf.Tensor) -> tf.Tensor:
        turned = [tf.roll(matrix, number, 0) for number in range(at_once)]  # no two are the same
        return tf.add_n([tf.matmul(each, each)[0, 0] for each in turned])

    best, end = 0.0, time.perf_counter() + SECONDS
    with tf.device(device):
        small = tf.cast(tf.random.stateless_uniform([256, 256], [0, 0]), kind)
        large = tf.cast(tf.random.stateless_uniform([size, size], [0, 0]), kind)
        for matrix in (small, large):
            products.get_concrete_function(matrix)
        products(small)
        while best == 0.0 or time.perf_counter() < end:
            began = time.perf_counter()
            products(large).numpy()
            best = max(best, at_once * 2 * size**3 / (time.perf_counter() - began))
    return best


def memory() -> dict[str, float]:
    """The highest memory of this process and of its fullest GPU so far, in GiB."""
    used = {"memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
    gpus = [
        tf.config.experimental.get_memory_info(d.name.removeprefix("/device:")) for d in _gpus()
    ]
    if gpus:
        used["gpu_memory_gib"] = max(info["peak"] for info in gpus) / 2**30
    return used


def _gpus() -> list[Any]:
    return list(tf.config.list_logical_devices("GPU"))


def _devices(chosen: tf.distribute.Strategy) -> int:
    """How many devices of its own this process computes on; a CPU's replicas share one."""
    return chosen.num_replicas_in_sync // strategy.workers(chosen) if _gpus() else 1
