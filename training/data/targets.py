"""What a classifier learns from where that is not one class: smoothed labels, mixed pictures."""

import tensorflow as tf

from training.data.labelled import Targets


def distributions(classes: int, *, smoothing: float, mixup: float) -> Targets | None:
    """Inputs and labels int32 [B] to inputs and float32 [B, classes]; None where both are 0.

    Args:
        smoothing: The share of every label that is spread evenly over all classes (Szegedy et al.
            2015, "Rethinking the Inception Architecture", section 7).
        mixup: alpha of Beta(alpha, alpha), from which the share is drawn, one a batch, that every
            input keeps of itself; the rest is its neighbour's, in inputs and labels alike (Zhang
            et al. 2017, section 2). Batches are in random order, so any neighbour is a random one.
    """
    if not smoothing and not mixup:
        return None

    def made(inputs: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        wanted = tf.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
        if not mixup:
            return inputs, wanted
        kept = tf.cast(_beta(mixup, seed), tf.float32)

        def mixed(x: tf.Tensor) -> tf.Tensor:
            return kept * x + (1 - kept) * tf.roll(x, 1, axis=0)

        return mixed(inputs), mixed(wanted)

    return made


def _beta(alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """A draw of Beta(alpha, alpha), float64 []."""
    draws = tf.random.stateless_gamma([2], seed, tf.constant(alpha, tf.float64), dtype=tf.float64)
    return draws[0] / tf.reduce_sum(draws)
