"""What features know of classes: by their neighbours, and by a linear classifier on them.

Only the judge sees labels; the features do not change.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from training.data import labelled
from training.evaluators.pictures import sheet
from training.loop import Evaluator
from training.prepared import Prepared

BATCH = 200
MOST = 5000  # training pictures that are looked at, and held-out ones
NEAREST = 20
SHOWN, BESIDE = 6, 7  # held-out pictures that are shown, and how many neighbours of each
STEPS, RATE, DECAY = 300, 0.05, 1e-4  # of the linear classifier: all rows at once, Adam


def make(embed: Callable[[tf.Tensor], tf.Tensor], prepared: Prepared) -> Evaluator:
    """A function that gives both accuracies on held-out pictures, and shows some neighbours.

    `neighbour_accuracy` and `probe_accuracy` lie in [0, 1]; each row of `neighbours` is a held-out
    picture and the training pictures whose features are nearest.

    Args:
        embed: What the network sees [B, size, size, C] to features [B, F].
    """
    source: Any = prepared.data.source  # type: ignore[attr-defined]
    codec = prepared.codec
    traced = tf.function(embed, reduce_retracing=True, autograph=False)

    def features(part: Any) -> tuple[np.ndarray, np.ndarray]:
        places, found = labelled.spread(len(part.labels), MOST), []
        for first in range(0, len(places), BATCH):
            seen = codec.see(labelled.fitted(part, places[first : first + BATCH], codec.fit))
            found.append(traced(seen).numpy().astype(np.float32))
        return np.concatenate(found), part.labels[places]

    def shown(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
        rows = np.linspace(0, len(asked) - 1, SHOWN).astype(int)
        near = _nearest(known, asked[rows], BESIDE)[1].numpy()
        there, here = (
            labelled.spread(len(part.labels), MOST) for part in (source.train, source.eval)
        )
        pictures, captions = [], []
        for row, places in zip(rows, near, strict=True):
            pictures += [labelled.fitted(source.eval, here[row : row + 1], codec.fit)]
            pictures += [labelled.fitted(source.train, there[places], codec.fit)]
            captions += [f"{source.labels[source.eval.labels[here[row]]]}, and nearest"]
            captions += [source.labels[label] for label in source.train.labels[there[places]]]
        whole = tf.clip_by_value(tf.round(tf.concat(pictures, 0)), 0, 255)
        return sheet(tf.cast(whole, tf.uint8).numpy(), captions)

    def look() -> dict[str, Any]:
        known, held_out = features(source.train), features(source.eval)
        classes = len(source.labels)
        return {
            "neighbours": shown(known[0], held_out[0]),
            "neighbour_accuracy": neighbour_accuracy(*known, *held_out, classes=classes),
            "probe_accuracy": probe_accuracy(*known, *held_out, classes=classes),
        }

    return look


def _nearest(known: np.ndarray, asked: np.ndarray, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Cosines, largest first, and places of the nearest known rows, each [n, count]."""
    near = tf.math.l2_normalize(asked, 1) @ tf.transpose(tf.math.l2_normalize(known, 1))
    cosines, places = tf.math.top_k(near, min(count, len(known)))
    return cosines, places


def neighbour_accuracy(
    known: np.ndarray,
    known_labels: np.ndarray,
    asked: np.ndarray,
    labels: np.ndarray,
    *,
    classes: int,
) -> float:
    """How often the 20 nearest known features, by cosine, name the right class.

    Each neighbour's vote is its cosine, so none counts for all (Wu et al. 2018, section 3.4, with
    exp(cosine / 0.07)).
    """
    cosines, places = _nearest(known, asked, NEAREST)
    votes = tf.exp(cosines / 0.07)[..., None] * tf.one_hot(
        tf.gather(tf.constant(known_labels), places), classes
    )
    guessed = tf.argmax(tf.reduce_sum(votes, axis=1), axis=1).numpy()
    return float((guessed == labels).mean())


def probe_accuracy(
    known: np.ndarray,
    known_labels: np.ndarray,
    asked: np.ndarray,
    labels: np.ndarray,
    *,
    classes: int,
) -> float:
    """How often a linear classifier, fitted to known features, names the right class."""
    mean, deviation = known.mean(axis=0), known.std(axis=0) + 1e-6
    rows, others = ((x - mean) / deviation for x in (known, asked))
    weights = _fit(tf.constant(rows), tf.constant(known_labels), classes)
    guessed = (others @ weights[:-1] + weights[-1]).argmax(axis=1)
    return float((guessed == labels).mean())


def _fit(rows: tf.Tensor, labels: tf.Tensor, classes: int) -> np.ndarray:
    """Weights and, last, biases [F + 1, K] of least cross-entropy, from 0."""
    x = tf.concat([rows, tf.ones_like(rows[:, :1])], axis=1)
    return np.asarray(_descended(x, tf.one_hot(labels, classes)))


@functools.partial(tf.function, autograph=False, reduce_retracing=True)
def _descended(x: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Adam from 0 down the cross-entropy of x [n, F] @ w with right answers [n, K]: w [F, K]."""
    count = tf.cast(tf.shape(x)[0], tf.float32)

    def step(i: tf.Tensor, w: tf.Tensor, m: tf.Tensor, v: tf.Tensor) -> tuple[tf.Tensor, ...]:
        said = tf.nn.softmax(x @ w)
        gradient = tf.matmul(x, said - right, transpose_a=True) / count + DECAY * w
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * tf.square(gradient)
        number = tf.cast(i + 1, tf.float32)
        mean, square = m / (1 - 0.9**number), v / (1 - 0.999**number)
        return i + 1, w - RATE * mean / (tf.sqrt(square) + 1e-8), m, v

    nothing = tf.zeros((tf.shape(x)[1], tf.shape(right)[1]))
    start = tf.constant(0), nothing, nothing, nothing
    return tf.while_loop(lambda i, *_: i < STEPS, step, start)[1]
