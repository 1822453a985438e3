"""What endpoints do row by row: options for each row, refusals that name it, noise from its seed.

A row's answer depends on nothing but the row, so it is the same to the bit alone and in a batch.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from kmodels.core.sampling import must


class Draw(NamedTuple):
    """Random numbers that training draws for each row of a batch; see `training.draws`.

    Attributes:
        kind: Standard normal, or in [0, 1).
        shape: Of a row's.
    """

    kind: Literal["normal", "uniform"]
    shape: tuple[int, ...]


def spread(value: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """An option of one value or one a row, [1, ...] or [B, ...], to [B, ...]; traceable.

    Raises:
        tf.errors.InvalidArgumentError: it has another number of values.
    """
    count = tf.shape(value)[0]
    fits = must(
        (count == 1) | (count == batch), "an option has one value, or one a row; given", count
    )
    with tf.control_dependencies(fits):
        return tf.broadcast_to(value, tf.concat([batch[None], tf.shape(value)[1:]], 0))


def check(holds: tf.Tensor, name: str, given: tf.Tensor, allowed: str) -> list[tf.Operation]:
    """An assertion about every row that names the first one which fails, counted from 0.

    Args:
        holds: bool [B].
        name: Of the input.
        given: [B], what is told of the row.
        allowed: What follows "it must", such as "be at least 1".
    """
    row = _first(~holds)
    told = tf.concat([tf.strings.as_string(given), [""]], 0)
    sentence = [f"{name} of row ", tf.strings.as_string(row), " is "]
    sentence += [tf.gather(told, row), f"; it must {allowed}."]
    return must(holds, tf.strings.join(sentence))


def check_finite(name: str, value: tf.Tensor) -> list[tf.Operation]:
    """An assertion that no row [B, ...] has an infinite number or one that is none (NaN)."""
    wrong = tf.reshape(~tf.math.is_finite(value), [tf.shape(value)[0], -1])
    row = _first(tf.reduce_any(wrong, 1))
    sentence = [f"{name} of row ", tf.strings.as_string(row), " holds a number that is not finite."]
    return must(~wrong, tf.strings.join(sentence))


def _first(wrong: tf.Tensor) -> tf.Tensor:
    """The first True of [B], int64 []; B where there is none, as where there are no rows."""
    return tf.argmax(tf.cast(tf.concat([wrong, [True]], 0), tf.int32))


def together(network: Callable[[tf.Tensor], Any], rows: tf.Tensor) -> Any:
    """`network(rows)`, where a row alone has the bits that it has in a batch.

    The first row is asked twice. A matrix times one row is a vector's product, which is summed in
    another order than that of several rows.

    Args:
        network: Gives tensors [B, ...], one or nested.
    """
    count = tf.shape(rows)[0]
    answers = network(tf.concat([rows, rows[:1]], axis=0))
    return tf.nest.map_structure(lambda answer: answer[:count], answers)


def normal(seeds: tf.Tensor, shape: Sequence[int], *, turn: tf.Tensor | int = 0) -> tf.Tensor:
    """Standard normal numbers, float32 [B, *shape], from each row's seed and the turn alone.

    Args:
        seeds: int64 [B].
        shape: Of a row.
        turn: int32, such as a step of a sampler; other turns give other numbers.
    """
    return _drawn(tf.random.stateless_normal, seeds, shape, turn)


def uniform(seeds: tf.Tensor, shape: Sequence[int], *, turn: tf.Tensor | int = 0) -> tf.Tensor:
    """Numbers in [0, 1); otherwise as `normal`."""
    return _drawn(tf.random.stateless_uniform, seeds, shape, turn)


def _drawn(
    draw: Callable[..., tf.Tensor], seeds: tf.Tensor, shape: Sequence[int], turn: tf.Tensor | int
) -> tf.Tensor:
    at = tf.cast(turn, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def of(seed: tf.Tensor) -> tf.Tensor:
        return draw(shape, seed=tf.stack([seed, at]), alg="philox")

    return tf.map_fn(of, seeds, fn_output_signature=tf.TensorSpec(shape, tf.float32))


def one_by_one(
    function: Callable[..., tf.Tensor], values: Sequence[tf.Tensor], shape: Sequence[int]
) -> tf.Tensor:
    """What a function makes of each row by itself, float32 [B, *shape].

    Kernels add in another order where a batch has another size, so what a network says of a row in
    company differs in the last bits; a sampler that goes on from there makes them more.

    Args:
        function: Takes each of the values as [1, ...], gives float32 [1, *shape].
        values: [B, ...] each.
    """

    @tf.autograph.experimental.do_not_convert
    def one(row: Sequence[tf.Tensor]) -> tf.Tensor:
        return function(*[value[None] for value in row])[0]

    return tf.map_fn(one, tuple(values), fn_output_signature=tf.TensorSpec(shape, tf.float32))


def in_groups(
    function: Callable[..., tf.Tensor],
    values: Sequence[tf.Tensor],
    shape: Sequence[int],
    *,
    most: int,
) -> tf.Tensor:
    """What a function makes of the rows, at most so many at once, float32 [B, *shape].

    On a CPU half of the rows are made beside the others, by a second copy of the function in the
    graph: two cores that share each operation wait for each other, and two chains do not
    (decision 0041).

    Args:
        function: Takes a slice [G, ...] of each of the values, gives float32 [G, *shape].
        values: [B, ...] each.
        most: G, but for the last group of a half.
    """
    count = tf.shape(values[0])[0]
    on_cpu = tf.raw_ops.DeviceIndex(device_names=["CPU", "GPU"]) == 0
    middle = tf.where(on_cpu, (count + 1) // 2, count)

    @tf.function(autograph=False)  # so that the file of an export has it once
    def half(begin: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        def add(row: tf.Tensor, made: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            after = tf.minimum(row + most, end)
            answer = function(*[value[row:after] for value in values])
            return after, tf.concat([made, answer], 0)

        begun = begin, tf.zeros([0, *shape])
        invariants = tf.TensorShape([]), tf.TensorShape([None, *shape])
        return tf.while_loop(lambda row, _: row < end, add, begun, shape_invariants=invariants)[1]

    return tf.concat([half(tf.constant(0), middle), half(middle, count)], 0)
