"""A dense layer whose weights can be laid out for answering."""

import keras
import tensorflow as tf

BLOCK = 64  # columns


class Linear(keras.layers.Dense):
    """`Dense` that can keep its kernel as blocks of columns.

    A CPU multiplies many rows with a matrix after it has copied the matrix into blocks that fit
    its caches. For a few rows, as in generation, that copy is most of the work, at every token.
    """

    blocks: tf.Variable | None = None

    def pack(self) -> None:
        """Copies the kernel [D, N] into blocks [N / 64, D, 64], and reads only these from then on.

        For an export: the blocks do not follow the kernel. A width that is no multiple of 64
        stays as it is.
        """
        depth, width = self.kernel.shape
        if width % BLOCK == 0:
            columns = tf.reshape(self.kernel, [depth, width // BLOCK, BLOCK])
            self.blocks = tf.Variable(tf.transpose(columns, [1, 0, 2]), trainable=False)

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """[..., D] -> [..., N]."""
        if self.blocks is None:
            return super().call(x, training=training)
        depth, width = self.kernel.shape
        rows = tf.reshape(x, [-1, depth])
        parts = tf.matmul(rows[None], self.blocks)  # [N / 64, rows, 64]
        y = tf.einsum("nrk->rnk", parts)  # cheaper than tf.transpose for few rows
        shape = [-1, width] if len(x.shape) == 2 else tf.concat([tf.shape(x)[:-1], [width]], 0)
        y = tf.ensure_shape(tf.reshape(y, shape), [*x.shape[:-1], width])
        return y if self.bias is None else tf.nn.bias_add(y, self.bias.value)
