"""A layer in which every place of a map sees all others, each channel by itself."""

import keras
from keras import ops


class ChannelwiseDense(keras.layers.Layer):
    """Maps [B, H, W, C] to maps of the same shape: a linear layer over places for each channel.

    Of C channels and n places it has C * n^2 weights; a fully connected layer has C^2 * n^2
    (Pathak et al. 2016, section 3.1). It has no bias. A 1 x 1 convolution behind it mixes the
    channels.
    """

    def build(self, shape: tuple[int | None, ...]) -> None:
        height, width, channels = (int(n or 0) for n in shape[1:])
        self.places = height * width
        self.kernel = self.add_weight(
            shape=(channels, self.places, self.places),
            initializer=keras.initializers.RandomNormal(stddev=self.places**-0.5),
            name="kernel",
        )

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        height, width, channels = x.shape[1:]
        by_channel = ops.transpose(ops.reshape(x, (-1, self.places, channels)), (2, 0, 1))
        mixed = ops.transpose(ops.matmul(by_channel, self.kernel), (1, 2, 0))
        return ops.reshape(mixed, (-1, height, width, channels))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """As it came."""
        return shape
