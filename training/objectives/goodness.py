"""Forward-Forward's objective: each hidden layer's own, and that of the softmax, side by side.

Hinton's code has its gradients written out: of one example with p = sigmoid(goodness - threshold)
that of a unit's sum is (1 - p) h where the example is real, -p h where it is made up. Those are the
derivatives of half of log p and of half of log(1 - p), so the losses here are written down and
differentiated; the layers' states let no derivative pass (`forward_forward.State`), so each loss
reaches its own layer alone.
"""

import keras
import tensorflow as tf

from kmodels import forward_forward
from training.step import WEIGHT, Batch, Logs

PEERS = 0.03  # strength of the peer normalisation
COARSE = 5  # a hybrid's mask is blurred once for so many pixels of a side


def goodness(
    model: forward_forward.ForwardForward, batch: Batch, *, training: bool
) -> tuple[tf.Tensor, Logs]:
    """The sum of all layers' losses and the softmax's, each a mean over examples, nats.

    A layer's is half of softplus(threshold - goodness) of the real examples and half of
    softplus(goodness - threshold) of the made-up ones; the threshold is the layer's width. The
    softmax's is the cross-entropy of the right class given a neutral label.

    Peer normalisation (training alone) pulls the sums of a layer on real examples by 0.03 times how
    much less active a unit has been than its layer. It is not gated by the rectifier, so that it
    wakes silent units. Its value, which means nothing, is not in the loss.

    Args:
        batch: `image` float32 [B, S, S, C], `label` int32 [B], perhaps a `mask` [B] of 0 and 1, and
            `draw`, for hybrids float32 [B, S, S], else [B].

    Returns:
        Logs of training hold `activity_<i>`, which `training.learners.layer_local` takes out. Those
        of an evaluation hold `error` (by energy, or by the softmax where layers learn without
        labels) and `error_softmax`.
    """
    image, label = batch["image"], batch["label"]
    rows = tf.shape(label)[0]
    neutral = model.neutral(image)
    logits = model.read(neutral)
    real, made_up = examples(model, image, label, logits=logits, draw=batch["draw"])
    counted = tf.cast(batch.get("mask", tf.ones([rows])), tf.float32)
    weight = tf.reduce_sum(counted)

    def mean(values: tf.Tensor) -> tf.Tensor:
        return tf.tensordot(counted, tf.cast(values, tf.float32), 1) / tf.maximum(weight, 1.0)

    loss = mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=label, logits=logits))
    wrong = tf.argmax(logits, axis=-1, output_type=tf.int32) != label
    logs = {WEIGHT: weight, "error_softmax": mean(wrong)}
    for i, (layer, yes, no) in enumerate(zip(model.hidden, real, made_up, strict=True)):
        own = mean(_loss(layer.units, yes, no))
        logs[f"loss_{i}"] = own
        loss += own
        if training:
            loss += mean(_peers(layer, yes))
            logs[f"activity_{i}"] = mean(tf.stop_gradient(yes.active))
    if not training:
        logs["error"] = mean(_by_energy(model, image) != label) if _labels(model) else mean(wrong)
    return loss, logs


def _labels(model: forward_forward.ForwardForward) -> bool:
    """Whether layers learn with labels."""
    return bool(model.config.label != "none")


def _loss(width: int, real: forward_forward.State, made_up: forward_forward.State) -> tf.Tensor:
    """Of one layer, float32 [B]."""
    low, high = tf.nn.softplus(width - real.goodness), tf.nn.softplus(made_up.goodness - width)
    return (low + high) / 2


def _peers(layer: forward_forward.Hidden, real: forward_forward.State) -> tf.Tensor:
    """float32 [B] of value 0, its derivative by a sum what peer normalisation adds to it."""
    active = tf.convert_to_tensor(layer.activity)
    pull = tf.stop_gradient(PEERS * (tf.reduce_mean(active) - active))
    pulled = tf.linalg.matvec(tf.cast(real.sums, tf.float32), pull)
    return tf.stop_gradient(pulled) - pulled


def _by_energy(model: forward_forward.ForwardForward, image: tf.Tensor) -> tf.Tensor:
    """The class under which an example is best, int32 [B]."""
    sums = forward_forward.energy(model.goodnesses(image))
    return tf.argmax(sums, axis=-1, output_type=tf.int32)


def examples(
    model: forward_forward.ForwardForward,
    image: tf.Tensor,
    label: tf.Tensor,
    *,
    logits: tf.Tensor,
    draw: tf.Tensor,
) -> tuple[list[forward_forward.State], list[forward_forward.State]]:
    """All layers on real and on made-up examples of the same pictures.

    Args:
        logits: float32 [B, K], what the softmax says.
        draw: In [0, 1), float32 [B, S, S] for hybrids, else [B].
    """
    if not _labels(model):
        return model.neutral(image), model.neutral(hybrids(image, draw))
    wrong = wrong_labels(logits, label, draw)
    real, made_up = (tf.one_hot(label, model.classes), tf.one_hot(wrong, model.classes))
    return model.states(image, real), model.states(image, made_up)


def wrong_labels(logits: tf.Tensor, label: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """Hard negatives: a wrong class by the probability that the softmax gives it, int32 [B].

    Args:
        draw: float32 [B] in [0, 1).
    """
    classes = logits.shape[-1]
    others = (label[:, None] + tf.range(1, classes)) % classes  # never the right one
    chances = tf.nn.softmax(tf.stop_gradient(tf.gather(logits, others, batch_dims=1)))
    passed = tf.reduce_sum(tf.cast(tf.cumsum(chances, axis=-1) <= draw[:, None], tf.int32), axis=-1)
    place = tf.minimum(passed, classes - 2)
    return tf.gather(others, place, batch_dims=1)


def hybrids(image: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """m a + (1 - m) b, where b is the next example and m a mask of blots (section 3.2).

    Args:
        image: float [B, S, S, C], of at least two examples.
        draw: float32 [B, S, S].
    """
    mask = masks(draw)[..., None]
    return mask * image + (1 - mask) * tf.roll(image, 1, axis=0)


def masks(draw: tf.Tensor) -> tf.Tensor:
    """Random bits, blurred by [1/4, 1/2, 1/4] both ways again and again, cut at 0.5: 0 or 1."""
    bits = tf.cast(draw < 0.5, tf.float32)
    for _ in range(max(1, bits.shape[-1] // COARSE)):
        bits = _blurred(_blurred(bits, axis=1), axis=2)
    return tf.cast(bits > 0.5, tf.float32)


def _blurred(bits: tf.Tensor, *, axis: int) -> tf.Tensor:
    """[B, S, S] blurred along an axis; what lies outside is as the border is."""
    pads = [[1, 1] if i == axis else [0, 0] for i in range(3)]
    padded, side = tf.pad(bits, pads, "SYMMETRIC"), bits.shape[axis]
    parts = [keras.ops.take(padded, tf.range(i, i + side), axis=axis) for i in range(3)]
    return parts[0] / 4 + parts[1] / 2 + parts[2] / 4
