"""Linear maps laid out for answering, and other kernels than the CPU library's for one row.

A CPU answers few rows no faster than it reads the weights: it is given them in the order in which
it reads (decision 0029). Threads that share every operation lose the time in which they wake each
other, dozens of times a token; two chains of operations that meet twice a layer lose less (decision
0022).
"""

from collections.abc import Callable

import keras
import tensorflow as tf

COLUMNS = 64  # of a block at most
NARROWEST = 16  # a block that would have fewer is the whole kernel


class Blocks(tf.Module):
    """x W + b for a few rows, the kernel W [D, N] kept as blocks of columns [N / C, D, C].

    A CPU that multiplies a few rows, as in generation, reads the kernel a few columns at a time.
    In blocks as wide as those columns it reads straight on, and its memory can fetch ahead; in
    the rows of a wide kernel it jumps (decision 0029). A width with few divisors stays one block.

    Args:
        kernel: [D, N].
        bias: [N], or None.
    """

    def __init__(self, kernel: tf.Tensor, bias: tf.Tensor | None) -> None:
        super().__init__()
        depth, width = kernel.shape
        columns = max(c for c in range(1, COLUMNS + 1) if width % c == 0)
        columns = width if columns < NARROWEST else columns
        blocks = tf.transpose(tf.reshape(kernel, [depth, -1, columns]), [1, 0, 2])
        self.blocks = tf.Variable(blocks, trainable=False)
        self.bias = None if bias is None else tf.Variable(bias, trainable=False)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """[..., D] -> [..., N]."""
        count, depth, columns = self.blocks.shape
        rows = x if x.shape.rank == 2 else tf.reshape(x, [-1, depth])
        if rows.shape[0] == 1:  # as the graph knows
            y = tf.reshape(product(rows[None], self.blocks), [1, count * columns])
        else:
            y = tf.concat(tf.unstack(tf.matmul(rows[None], self.blocks)), 1)
        if x.shape.rank > 2:
            y = tf.reshape(y, tf.concat([tf.shape(x)[:-1], [count * columns]], 0))
            y = tf.ensure_shape(y, [*x.shape[:-1], count * columns])
        return y if self.bias is None else y + self.bias


def halves(
    first: keras.layers.Dense, second: keras.layers.Dense, *, groups: int = 1, unit: int = 1
) -> list[tuple[Blocks, Blocks]]:
    """Pairs of maps whose outputs add up to that of `second` after `first`.

    Args:
        first: To groups x N columns, where what stands between the maps treats each unit alone.
        second: From N rows.
        groups: How often `first` repeats the N columns: 3 for queries, keys and values.
        unit: Columns that stay together, as those of a head do.

    Returns:
        Two pairs, or one where there is one unit.
    """
    inner, count = second.kernel.shape[0], second.kernel.shape[0] // unit
    kernel = tf.reshape(first.kernel.value, [-1, groups, inner])
    bias = None if first.bias is None else tf.reshape(first.bias.value, [groups, inner])
    pairs: list[tuple[Blocks, Blocks]] = []
    for begin, end in ((0, count // 2 * unit), (count // 2 * unit, inner)):
        if begin == end:
            continue
        size = groups * (end - begin)
        into = Blocks(
            tf.reshape(kernel[:, :, begin:end], [-1, size]),
            None if bias is None else tf.reshape(bias[:, begin:end], [size]),
        )
        once = None if second.bias is None or pairs else second.bias.value
        pairs.append((into, Blocks(second.kernel.value[begin:end], once)))
    return pairs


def product(a: tf.Tensor, b: tf.Tensor, *, transpose_b: bool = False) -> tf.Tensor:
    """A batch of products, as `tf.matmul`, by another operation than the CPU library's."""
    return tf.raw_ops.BatchMatMulV3(x=a, y=b, Tout=a.dtype, adj_y=transpose_b)


def kernels(x: tf.Tensor) -> tuple[Callable[..., tf.Tensor], Callable[[tf.Tensor], tf.Tensor]]:
    """A product and a softmax for [B, H, T, K], called as `tf.matmul` and `tf.nn.softmax`.

    Where the graph knows that T is 1, as in generation, they are other operations than those of
    the CPU library, which wakes threads for a few thousand numbers.
    """
    if x.shape[2] != 1 or x.dtype != tf.float32:
        return tf.matmul, tf.nn.softmax

    return product, lambda scores: tf.exp(tf.nn.log_softmax(scores))
