"""One update of the parameters: the only code that knows replicas, clipping, precision and XLA."""

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from training import draws
from training.averages import Average
from training.loss_scale import LossScale

Batch = draws.Batch
Logs = dict[str, tf.Tensor]
Part = tuple[list[tf.Tensor], Logs]  # gradients and logs of some rows
Objective = Callable[..., tuple[tf.Tensor, Logs]]
Moves = tuple[keras.optimizers.Optimizer, Sequence[keras.Variable]]  # what moves what
WEIGHT = "weight"  # how many tokens or examples a shard's means are over
ROWS = "rows"  # in the logs of an objective that has one: no mean but a number of each row, [B]


def descend(
    objective: Objective,
    model: keras.Model,
    moves: Sequence[Moves],
    batch: Batch,
    *,
    clip_norm: float | None = None,
    micro_batches: int = 1,
    compile: bool = False,
    average: Average | None = None,
    loss_scale: LossScale | None = None,
) -> Logs:
    """One step down the gradient of the global batch's mean loss.

    Called in a replica's context with that replica's part of the batch, which gets what the model
    draws for its rows. The gradients of all replicas are summed, each by its share of the weight,
    then freed of the loss scale, then clipped, then applied. A step whose summed gradient is not
    finite is skipped where there is a loss scale: weights, optimizers and average stay as they are.

    XLA takes forward and backward, and the update too where there is one replica: collectives
    cannot be compiled on every device.

    Args:
        objective: `objective(model, batch, training=True) -> (loss, logs)`; the loss is the mean
            over this part, `logs["weight"]` says over how much.
        moves: Optimizers, each with the variables that it was built on and moves. What is in none
            is constant in this step.
        clip_norm: Largest global norm of the gradient of what one optimizer moves; None does not
            clip.
        micro_batches: Parts the batch is cut into by row, one after another, to save memory. Batch
            normalisation then takes its statistics from each part.
        average: Follows the weights.
        loss_scale: What the loss is multiplied with before its gradient is taken.

    Returns:
        The logs of this part, with the loss, and "loss_scale" where there is one. A learner takes
        `ROWS` out of them.
    """
    alone = tf.distribute.get_strategy().num_replicas_in_sync == 1
    # XLA cannot compile the exchange of statistics between replicas.
    exchanged = not alone and any(layer.synchronized for layer in _normalisations(model))
    compile = compile and not exchanged
    moving = [variable for _, variables in moves for variable in variables]
    scale = None if loss_scale is None else tf.identity(loss_scale.scale)

    def gradients_of(part: Batch) -> Part:
        with tf.GradientTape() as tape:
            loss, logs = objective(model, part, training=True)
            scaled = loss if scale is None else loss * scale
        gradients = tape.gradient(scaled, [v.value for v in moving])
        return [tf.convert_to_tensor(g) for g in gradients], {"loss": loss, **logs}

    def move(gradients: list[tf.Tensor]) -> None:
        rest = iter(gradients)
        for optimizer, variables in moves:
            _apply(optimizer, [next(rest) for _ in variables], variables, clip_norm)
        if average is not None:
            average.update()

    def update(parts: list[Part]) -> Logs:
        gradients, logs = _weighted_sum(parts)
        if not alone:
            gradients = _reduced(gradients, logs[WEIGHT])
        if loss_scale is None:
            move(gradients)
            return logs
        _move_if_finite(move, [g / scale for g in gradients], loss_scale)
        return {**logs, "loss_scale": scale}

    compute = gradients_of
    if compile or micro_batches > 1:  # then all parts share one trace
        compute = tf.function(gradients_of, jit_compile=compile, autograph=False)
    batch = draws.added(batch, model, training=True)
    parts: list[Part] = []
    for micro_batch in cut(batch, micro_batches):
        with tf.control_dependencies([logs["loss"] for _, logs in parts]):  # one after another
            by_core = _by_core(micro_batch, model, compile=compile)
            parts += [compute(lane) for lane in by_core]  # all at once
    return compiled(update)(parts) if compile and alone else update(parts)


def judge(objective: Objective, model: keras.Model, batch: Batch, *, compile: bool = False) -> Logs:
    """The logs of a batch, with the loss, where nothing moves; in a replica's context."""

    def forward(batch: Batch) -> Part:
        loss, logs = objective(model, batch, training=False)
        return [], {"loss": loss, **logs}

    batch = draws.added(batch, model, training=False)
    compute = compiled(forward) if compile else forward
    return _weighted_sum([compute(lane) for lane in _by_core(batch, model, compile=compile)])[1]


def compiled(function: Callable[..., Any]) -> Any:
    """The function as one XLA program."""
    return tf.function(function, jit_compile=True, autograph=False)


def _by_core(batch: Batch, model: keras.Model, *, compile: bool) -> list[Batch]:
    """The batch, or where it is compiled, a part of it for each core: each runs its own program.

    One program on every core beats one program that spreads each operation over all cores. Replicas
    and batch normalisation want the batch whole. Sums are rounded by lane, so the last bits depend
    on the core count.
    """
    alone = tf.distribute.get_strategy().num_replicas_in_sync == 1
    if not compile or not alone or _normalisations(model):
        return [batch]
    return cut(batch, lanes(next(iter(batch.values())).shape[0] or 1))


def lanes(rows: int) -> int:
    """Into how many equal parts so many rows are cut for the CPU's cores; a GPU takes them whole.

    A part has at least two rows, because an objective may hold a row against the next one, as
    Forward-Forward's hybrids do. Decision 0009.
    """
    most = 1 if tf.config.list_physical_devices("GPU") else min(cores(), rows // 2)
    return max(n for n in range(1, max(most, 1) + 1) if rows % n == 0)


def share_cores(rows: int) -> None:
    """Gives the operations of each lane of so many rows its share of the cores, not all of them.

    Lanes that spread every operation wait for each other (decision 0028). Call it before TensorFlow
    has touched its devices: a process that has keeps the threads that it has.
    """
    if lanes(rows) > 1:
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(cores() // lanes(rows))


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def threads() -> int:
    """Those of one operation on the CPU: all cores, or what `share_cores` left it."""
    return tf.config.threading.get_intra_op_parallelism_threads() or cores()


def _normalisations(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Layers that look at the whole batch at once, so that it cannot be cut without a change.

    A frozen one looks at what it has seen before.
    """
    kind = keras.layers.BatchNormalization
    found = [layer for layer in model._flatten_layers() if isinstance(layer, kind)]
    return [layer for layer in found if layer.trainable]


def cut(batch: Batch, count: int) -> list[Batch]:
    """A batch by row in so many equal parts."""
    if count == 1:
        return [batch]
    split = {name: tf.split(value, count) for name, value in batch.items()}
    return [{name: parts[i] for name, parts in split.items()} for i in range(count)]


def _weighted_sum(parts: Sequence[Part]) -> Part:
    """Means over parts of different weight to the mean over all."""
    if len(parts) == 1:
        return parts[0]
    total = tf.add_n([logs[WEIGHT] for _, logs in parts])
    shares = [logs[WEIGHT] / total for _, logs in parts]
    columns = zip(*(gradients for gradients, _ in parts), strict=True)
    gradients = [tf.add_n([g * s for g, s in zip(c, shares, strict=True)]) for c in columns]
    mean = {
        name: tf.add_n([logs[name] * s for (_, logs), s in zip(parts, shares, strict=True)])
        for name in parts[0][1]
        if name != ROWS
    }
    if ROWS in parts[0][1]:
        mean[ROWS] = tf.concat([logs[ROWS] for _, logs in parts], axis=0)
    return gradients, {**mean, WEIGHT: total}


def _reduced(gradients: list[tf.Tensor], weight: tf.Tensor) -> list[tf.Tensor]:
    """Sums over replicas by share of weight, over R: Keras optimizers sum R equal copies."""
    context = tf.distribute.get_replica_context()
    share = weight / context.all_reduce(tf.distribute.ReduceOp.SUM, weight)
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, [g * share for g in gradients])
    return list(total)


def _apply(
    optimizer: keras.optimizers.Optimizer,
    gradients: list[tf.Tensor],
    variables: Sequence[keras.Variable],
    clip_norm: float | None,
) -> None:
    if clip_norm is not None:
        norm = tf.linalg.global_norm(gradients)
        scale = clip_norm / tf.maximum(norm, clip_norm)
        gradients = [g * scale for g in gradients]
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    optimizer.apply([g / replicas for g in gradients] if replicas > 1 else gradients, variables)


def _move_if_finite(
    move: Callable[[list[tf.Tensor]], None], gradients: list[tf.Tensor], loss_scale: LossScale
) -> None:
    """Calls `move` in every replica's context, or in none."""
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])

    def everywhere(
        strategy: tf.distribute.Strategy, gradients: list[tf.Tensor], finite: tf.Tensor
    ) -> None:
        def moved() -> tf.Tensor:
            strategy.extended.call_for_each_replica(move, args=(gradients,))
            return tf.constant(True)

        # A branch may merge replicas only if the whole condition stands above them.
        alike = strategy.experimental_local_results(finite)[0]
        tf.cond(alike, moved, lambda: tf.constant(False))
        loss_scale.update(alike)

    tf.distribute.get_replica_context().merge_call(everywhere, args=(gradients, finite))


def repeat(step: Callable[[Batch], Logs], strategy: tf.distribute.Strategy) -> Any:
    """A graph that takes `count` batches of an iterator through `step`: one call, many steps.

    Returns:
        A function of (iterator, count) that gives the logs' means over all replicas and steps as
        Python floats, `weight` as the sum.
    """
    names: list[str] = []

    @tf.function(autograph=False)
    def many(iterator: Any, count: tf.Tensor) -> tf.Tensor:
        def one(i: tf.Tensor, rows: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            logs = strategy.run(_weighted(step, names), args=(next(iterator),))
            logs = strategy.reduce(tf.distribute.ReduceOp.SUM, logs, axis=None)
            return i + 1, rows.write(i, logs)

        rows = tf.TensorArray(tf.float32, size=count)
        _, rows = tf.while_loop(lambda i, _: i < count, one, (tf.constant(0), rows))
        return tf.reduce_sum(rows.stack(), axis=0)

    def means(iterator: Any, count: int) -> dict[str, float]:
        values = many(iterator, tf.constant(count)).numpy().tolist()
        sums = dict(zip(names, values, strict=True))
        weight = sums[WEIGHT]
        return {n: v if n == WEIGHT else v / weight for n, v in sums.items()}

    return means


def _weighted(step: Callable[[Batch], Logs], names: list[str]) -> Callable[[Batch], tf.Tensor]:
    """The step's logs as one vector, each times the weight; their names go into `names`."""

    def vector(batch: Batch) -> tf.Tensor:
        logs = step(batch)
        names[:] = sorted(logs)
        weight = tf.cast(logs[WEIGHT], tf.float32)
        return tf.stack(
            [weight if n == WEIGHT else tf.cast(logs[n], tf.float32) * weight for n in names]
        )

    return vector
