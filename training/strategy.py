"""Replicas: which devices train, and how a global batch is spread over them."""

import os
from typing import Any, cast

import tensorflow as tf

from training.config import StrategyName, UserError


def make(name: StrategyName, *, replicas: int | None = None) -> tf.distribute.Strategy:
    """The strategy of that name.

    `auto` is multi_worker where TF_CONFIG describes a cluster, mirrored where there is more than
    one GPU, one elsewhere. Call it before TensorFlow has touched its devices.

    Args:
        replicas: How many local replicas; None is every GPU. Without a GPU they are logical
            devices of the CPU, so that what depends on replicas can be seen anywhere.

    Raises:
        UserError: a cluster is asked for and none is described, or there are too few GPUs.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        many = len(gpus) > 1 or (replicas or 1) > 1
        name = "multi_worker" if "TF_CONFIG" in os.environ else "mirrored" if many else "one"
    if name == "one":
        if replicas not in (None, 1):
            raise UserError(f"--strategy=one has one replica; --replicas is {replicas}.")
        return tf.distribute.get_strategy()
    if name == "multi_worker":
        if "TF_CONFIG" not in os.environ:
            raise UserError(
                "--strategy=multi_worker needs a cluster: set TF_CONFIG, or use "
                "--strategy=mirrored on one machine."
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.MirroredStrategy(_devices(gpus, replicas))


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
