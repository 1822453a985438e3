"""Replicas: which devices train, and how a global batch is spread over them."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any, cast

import tensorflow as tf

from training import cluster, signals
from training.config import StrategyName, UserError


def make(name: StrategyName, *, replicas: int | None = None) -> tf.distribute.Strategy:
    """The strategy of that name.

    `auto` is multi_worker where a cluster is described (`training.cluster`), mirrored where there
    is more than one GPU, one elsewhere. Call it before TensorFlow has touched its devices.

    Args:
        replicas: How many local replicas; None is every GPU. Without a GPU they are logical
            devices of the CPU, so that what depends on replicas can be seen anywhere.

    Raises:
        UserError: a cluster is asked for and none is described, its description is malformed, this
            worker's port is taken, or there are too few GPUs.
    """
    gpus = tf.config.list_physical_devices("GPU")
    described = cluster.describe(os.environ)
    if name == "auto":
        many = len(gpus) > 1 or (replicas or 1) > 1
        name = "multi_worker" if described else "mirrored" if many else "one"
    if name == "one":
        if replicas not in (None, 1):
            raise UserError(f"--strategy=one has one replica; --replicas is {replicas}.")
        return tf.distribute.get_strategy()
    if name == "multi_worker":
        if described is None:
            raise UserError(
                "--strategy=multi_worker needs a cluster: set TF_CONFIG, start it by SLURM or a "
                "JobSet, or give --spawn=N for N workers on this machine."
            )
        return _workers(described)
    return tf.distribute.MirroredStrategy(_devices(gpus, replicas))


def _workers(described: dict[str, Any]) -> tf.distribute.Strategy:
    addresses, index = described["cluster"]["worker"], described["task"]["index"]
    address = addresses[index]
    os.environ["TF_CONFIG"] = json.dumps(described)
    port = int(address.rpartition(":")[2])
    if not cluster.is_free(port):
        raise UserError(
            f"Port {port} of this worker, {address}, is in use on this machine; end what listens "
            "there, or give the worker another port."
        )
    said = f"Worker {index} of {len(addresses)}, at {address}; it begins when all have started."
    with signals.deadly():
        print(said, file=sys.stderr, flush=True)
        return tf.distribute.MultiWorkerMirroredStrategy()


def workers(strategy: tf.distribute.Strategy) -> int:
    """How many processes train together."""
    resolver = strategy.cluster_resolver
    return len(resolver.cluster_spec().as_dict().get("worker", [])) or 1 if resolver else 1


def exchange(strategy: tf.distribute.Strategy) -> Callable[[int], list[int]]:
    """A function that all workers call together: each gives a number, all get everyone's."""
    count = workers(strategy)
    if count < 2:
        return lambda number: [number]

    @tf.function(input_signature=[tf.TensorSpec([count], tf.int64)], autograph=False)
    def summed(mine: tf.Tensor) -> tf.Tensor:
        def each(mine: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(mine))

        replicas = strategy.experimental_local_results(strategy.run(each, args=(mine,)))
        return replicas[0] // len(replicas)

    def numbers(number: int) -> list[int]:
        mine = [number * (i == strategy.cluster_resolver.task_id) for i in range(count)]
        return [int(n) for n in summed(tf.constant(mine, tf.int64)).numpy()]

    return numbers


def by_chief(strategy: tf.distribute.Strategy, work: Callable[[], int]) -> int:
    """The chief works while the others wait, so that none looks dead; all get its status."""
    status = 1
    try:
        status = work() if is_chief(strategy) else 0
    finally:
        told = exchange(strategy)(status)
    return max(told)


def _devices(gpus: list[Any], replicas: int | None) -> list[str]:
    if gpus:
        count = replicas or len(gpus)
        if count > len(gpus):
            raise UserError(f"--replicas is {count}; this machine has {len(gpus)} GPUs.")
        return [f"GPU:{i}" for i in range(count)]
    count = replicas or 1
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or [None]) != count:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    return [f"CPU:{i}" for i in range(count)]


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes."""
    resolver = strategy.cluster_resolver
    return resolver is None or (resolver.task_id or 0) == 0


def spread(batches: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Any:
    """An iterator of a dataset of global batches, each cut into equal parts by replica.

    The cut is by row: worker 0's replicas take the first rows. Auto-sharding is never asked.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return iter(batches)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local

        @tf.autograph.experimental.do_not_convert
        def parts(batch: dict[str, tf.Tensor]) -> tf.data.Dataset:
            def cut(x: tf.Tensor) -> tf.Tensor:
                shape = tf.concat([[replicas, tf.shape(x)[0] // replicas], tf.shape(x)[1:]], 0)
                part = tf.reshape(x, shape)[first : first + local]
                return tf.ensure_shape(part, [local, *_part_shape(x, replicas)])

            return tf.data.Dataset.from_tensor_slices({k: cut(v) for k, v in batch.items()})

        return batches.flat_map(parts).prefetch(2)

    return iter(cast(Any, strategy).distribute_datasets_from_function(of_worker))


def _part_shape(x: tf.Tensor, replicas: int) -> list[int | None]:
    rows, *rest = x.shape.as_list()
    return [None if rows is None else rows // replicas, *rest]


def check_divides(batch_size: int, strategy: tf.distribute.Strategy, micro_batches: int) -> None:
    """Raises UserError unless every micro-batch of every replica gets the same number of rows."""
    parts = strategy.num_replicas_in_sync * micro_batches
    if batch_size % parts:
        near = max(batch_size // parts, 1) * parts
        raise UserError(
            f"--batch-size {batch_size} does not divide into {parts} equal parts "
            f"({strategy.num_replicas_in_sync} replicas, {micro_batches} micro-batches); "
            f"{near} would."
        )
