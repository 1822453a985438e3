"""Examples with a class each: pictures, in memory or in files, or rows of numbers."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from kmodels.core.codecs import images
from training.data import order

Fit = Callable[[tf.Tensor], tf.Tensor]  # a picture [H, W, C] to float32 [size, size, C]
Each = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # the same, decided by a seed
Change = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # pictures and a seed to other pictures
Pair = tuple[tf.Tensor, tf.Tensor]
Targets = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Pair]  # and labels, to others of both
EACH = 0x65616368  # keeps what is drawn for a picture apart from what is drawn for a batch
AHEAD = 2  # batches that are made before they are asked for
CHUNK = 1000  # pictures whose moments are taken at once


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """What pixels are like, 0 to 255: their mean float64 [C], the mean of their squares [C, C]."""

    mean: np.ndarray
    second: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """float64 [C, C]."""
        return self.second - np.outer(self.mean, self.mean)

    @property
    def deviation(self) -> np.ndarray:
        """float64 [C], at least 1."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 1.0))


class Part(Protocol):
    """Examples to learn from, or held out.

    Attributes:
        labels: int32 [n], or [n, U] where each of U units has a question of its own.
        shape: Of one input; None where examples differ.
    """

    @property
    def labels(self) -> np.ndarray: ...

    @property
    def shape(self) -> tuple[int | None, ...]: ...

    def read(self, places: tf.Tensor) -> tf.Tensor:
        """The inputs at int64 [k], or at one place [] where shapes differ; traceable."""

    def moments(self, channels: int) -> Moments:
        """Of pictures with so many channels."""

    def files(self, count: int) -> list[bytes]:
        """The first pictures as files hold them."""

    def facts(self) -> Iterator[bytes | memoryview]:
        """What two parts have in common only if they are the same."""

    def fault(self) -> str | None:
        """A sentence about the first example that cannot be read, None where all can."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Examples in memory, and their classes.

    Attributes:
        inputs: uint8 [n, H, W, C], or float32 [n, D].
        labels: int32 [n], or [n, U] where each of U units has a question of its own.
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.labels):
            raise ValueError(
                f"There are {len(self.inputs):,} examples and {len(self.labels):,} labels."
            )
        if not len(self.inputs):
            raise ValueError("A split needs at least one example, and got none.")

    @property
    def shape(self) -> tuple[int | None, ...]:
        return tuple(self.inputs.shape[1:])

    @functools.cached_property
    def _tensor(self) -> tf.Tensor:
        with tf.init_scope():
            return tf.constant(self.inputs)

    def read(self, places: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._tensor, places)

    def moments(self, channels: int) -> Moments:
        mean, second = np.zeros(channels), np.zeros((channels, channels))
        for first in range(0, len(self.inputs), CHUNK):
            chunk = tf.constant(self.inputs[first : first + CHUNK], tf.float32)
            pixels = images.coloured(chunk, channels).numpy().reshape(-1, channels).astype(float)
            mean += pixels.sum(axis=0)
            second += pixels.T @ pixels
        count = self.inputs.size / self.inputs.shape[-1]
        return Moments(mean / count, second / count)

    def files(self, count: int) -> list[bytes]:
        return [bytes(tf.io.encode_png(picture).numpy()) for picture in self.inputs[:count]]

    def facts(self) -> Iterator[bytes | memoryview]:
        for array in (self.inputs, self.labels):
            yield f"{array.dtype}{array.shape}".encode()
            yield np.ascontiguousarray(array).data

    def fault(self) -> None:
        return None


@dataclasses.dataclass(frozen=True, eq=False)
class Labelled:
    """The examples of a part whose labels are known; of the others only the pixels.

    Attributes:
        part: All of them.
        share: How many of each class, above 0 and at most 1, but at least one. Which is drawn once
            for all; those of a larger share are those of a smaller one and more.
    """

    part: Part
    share: float

    @functools.cached_property
    def places(self) -> np.ndarray:
        """Where they are among all, int64, in their order."""
        drawn = np.random.default_rng(0).permutation(len(self.part.labels))
        by_class = [drawn[self.part.labels[drawn] == k] for k in np.unique(self.part.labels)]
        known = [places[: max(1, round(self.share * len(places)))] for places in by_class]
        return np.sort(np.concatenate(known))

    @functools.cached_property
    def labels(self) -> np.ndarray:
        known: np.ndarray = self.part.labels[self.places]
        return known

    @property
    def shape(self) -> tuple[int | None, ...]:
        return self.part.shape

    def read(self, places: tf.Tensor) -> tf.Tensor:
        return self.part.read(tf.gather(tf.constant(self.places), places))

    def moments(self, channels: int) -> Moments:
        """Of all pictures, as it takes no labels to see them."""
        return self.part.moments(channels)

    def files(self, count: int) -> list[bytes]:
        return self.part.files(count)

    def facts(self) -> Iterator[bytes | memoryview]:
        yield self.places.data
        yield from self.part.facts()

    def fault(self) -> str | None:
        return self.part.fault()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """What a family of data gives.

    Attributes:
        train: To learn from.
        eval: Held out.
        labels: The names of the classes.
        names: Of the features, where the inputs are rows of numbers.
        remark: What a run says of it, such as which part is held out.
        extractor: The network of `training.extractors` that was trained on such pictures; empty
            where there is none.
    """

    train: Part
    eval: Part
    labels: tuple[str, ...]
    names: tuple[str, ...] = ()
    remark: str = ""
    extractor: str = ""

    def __post_init__(self) -> None:
        most = int(max(self.train.labels.max(), self.eval.labels.max()))
        if self.train.labels.ndim == 1 and most >= len(self.labels):
            raise ValueError(
                f"A label is {most}, and there are {len(self.labels)} classes, numbered from 0."
            )

    def moments(self, channels: int) -> Moments:
        """Of training pictures with so many channels; taken once."""
        if channels not in self._moments:
            self._moments[channels] = self.train.moments(channels)
        return self._moments[channels]

    @functools.cached_property
    def _moments(self) -> dict[int, Moments]:
        return {}

    @property
    def sha256(self) -> str:
        """Of the labels and names, and of each part what its `facts` are."""
        digest = hashlib.sha256(repr((self.labels, self.names)).encode())
        for part in (self.train, self.eval):
            for fact in part.facts():
                digest.update(fact)
        return digest.hexdigest()


def spread(count: int, most: int) -> np.ndarray:
    """Places of all of so many examples, int64, or of as many as `most` from the whole of them."""
    return np.linspace(0, count - 1, min(most, count)).astype(np.int64)


def fitted(part: Part, places: np.ndarray, fit: Fit) -> tf.Tensor:
    """Pictures at int64 [k], float32 [k, size, size, C], 0 to 255, as serving would cut them."""
    if None not in part.shape:
        return fit(tf.cast(part.read(tf.constant(places)), tf.float32))
    each = [fit(tf.cast(part.read(tf.constant(place)), tf.float32)) for place in places]
    return tf.stack(each)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Batches of a source: `training.loop.Data`.

    Attributes:
        source: The examples.
        key: What the inputs are called in a batch: "image" or "features".
        see: From float32 inputs, 0 to 255 for pictures, to what the network takes.
        fit: Brings a picture to one size where they differ, before it is in a batch.
        each: The same for a picture of "train"; None takes `fit`.
        changes: What is done to batches of "train" after that, each with a seed of its own.
        targets: Makes of inputs and labels of "train" what is learnt from; None leaves both.
        views: How often `each` looks at a picture, also at held-out ones; above 1 inputs are
            [B, views, ...], and there are no `changes` and `targets`.
    """

    source: Source
    key: str
    see: Callable[[tf.Tensor], tf.Tensor]
    fit: Fit | None = None
    each: Each | None = None
    changes: Sequence[Change] = ()
    targets: Targets | None = None
    views: int = 1

    def __post_init__(self) -> None:
        if self.views > 1 and (self.each is None or self.changes or self.targets):
            raise ValueError("Several views are made by `each` alone.")

    def batches(self, split: str, batch_size: int, *, seed: int, start: int = 0) -> tf.data.Dataset:
        """Batches without end, from step `start` on; a step's batch depends on nothing else.

        Every training example is drawn once per epoch, each epoch in a new order; a batch may span
        two epochs. Held-out examples come in their own order, and are counted once: those of
        further rounds have the mask 0, so that any number of batches that is enough gives the mean
        over exactly the whole split.

        Returns:
            Dicts of the inputs float32 [batch_size, ...], `label` int32 [batch_size] or
            [batch_size, U], or float32 [batch_size, K] where `targets` says so, and for "eval"
            `mask` float32 [batch_size], 1 or 0.

        Raises:
            ValueError: no such split, no examples in a batch, or a negative start.
        """
        seeds = order.seeds(split, seed)
        order.check(batch_size, start)
        train = split == "train"
        part = self.source.train if train else self.source.eval
        labels, count = tf.constant(part.labels, tf.int32), tf.constant(len(part.labels), tf.int64)
        each = self._each(part, train=train)

        def places(rows: tf.Tensor) -> tf.Tensor:
            return order.shuffled(rows, count, seeds) if train else rows % count

        @tf.autograph.experimental.do_not_convert
        def one(row: tf.Tensor) -> tf.Tensor:
            assert each is not None
            at = tf.stack([tf.constant(seeds[0], tf.int64), row])
            picture = part.read(places(row[None])[0])
            at = tf.random.experimental.stateless_fold_in(at, EACH)
            if self.views == 1:
                return each(picture, at)
            fold = tf.random.experimental.stateless_fold_in
            return tf.stack([each(picture, fold(at, view)) for view in range(self.views)])

        @tf.autograph.experimental.do_not_convert
        def batch(step: tf.Tensor, inputs: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
            rows = step * batch_size + tf.range(batch_size, dtype=tf.int64)
            there = places(rows)
            inputs = tf.cast(part.read(there) if inputs is None else inputs, tf.float32)
            label = tf.gather(labels, there)
            if train:
                at = tf.stack([tf.constant(seeds[0], tf.int64), step])
                return self._learnt(inputs, label, at)
            mask = tf.cast(rows < count, tf.float32)
            return {self.key: self.see(inputs), "label": label, "mask": mask}

        last = order.last(batch_size)
        if each is None:
            ready = tf.data.Dataset.range(start, last).map(batch, tf.data.AUTOTUNE)
        else:
            rows = tf.data.Dataset.range(start * batch_size, last * batch_size)
            drawn = rows.map(one, tf.data.AUTOTUNE).batch(batch_size, drop_remainder=True)
            ready = drawn.enumerate(start).map(batch, tf.data.AUTOTUNE)
        return ready.prefetch(AHEAD).with_options(order.options())

    def _each(self, part: Part, *, train: bool) -> Each | None:
        """What is done to pictures one by one; None where a batch is read as a whole."""
        if (train or self.views > 1) and self.each is not None:
            return self.each
        fit = self.fit
        if fit is None or None not in part.shape:
            return None
        return lambda picture, seed: fit(picture)

    def _learnt(self, inputs: tf.Tensor, label: tf.Tensor, at: tf.Tensor) -> dict[str, tf.Tensor]:
        """A batch of "train" as it is learnt from, decided by a seed."""
        for number, change in enumerate(self.changes):
            inputs = change(inputs, tf.random.experimental.stateless_fold_in(at, number))
        seen = self.see(inputs)
        if self.targets is not None:
            seed = tf.random.experimental.stateless_fold_in(at, len(self.changes))
            seen, label = self.targets(seen, label, seed)
        return {self.key: seen, "label": label}
