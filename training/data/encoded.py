"""Pictures as files hold them: read and decoded when a batch wants them, on all cores."""

import contextlib
import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from kmodels.core.codecs import images
from training.config import UserError
from training.data import order, trees
from training.data.labelled import Examples, Moments

SAMPLE = 2000  # pictures whose pixels stand for all
BEGINNING = 4096  # bytes of a file that say which it is
UNREADABLE = (
    *(tf.errors.InvalidArgumentError, tf.errors.NotFoundError, tf.errors.UnknownError),
    *(tf.errors.PermissionDeniedError, tf.errors.DataLossError),
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """JPEG and PNG files of one split.

    Attributes:
        tree: Where the files are.
        numbers: Which of its files, int64 [n].
        labels: Their classes, int32 [n].
        shape: Of a picture: of any sides, in three colours.
    """

    tree: trees.Tree
    numbers: np.ndarray
    labels: np.ndarray
    shape: tuple[int | None, ...] = (None, None, 3)

    @functools.cached_property
    def _reader(self) -> trees.Reader:
        with tf.init_scope():
            return self.tree.reader(self.numbers)

    def read(self, places: tf.Tensor) -> tf.Tensor:
        """int64 [] -> uint8 [H, W, 3], as `images.picture` gives it to whoever serves."""
        path, content = self._reader(places)
        return images.picture(content, path)

    def moments(self, channels: int) -> Moments:
        """Of up to 2,000 pictures, drawn once and for all; each counts alike, whatever its size."""
        count = len(self.numbers)
        chosen = np.random.default_rng(0).choice(count, min(count, SAMPLE), replace=False)

        @tf.autograph.experimental.do_not_convert
        def of(place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            picture = images.coloured(self.read(place), channels)
            pixels = tf.reshape(tf.cast(picture, tf.float32), (-1, channels))
            second = tf.matmul(pixels, pixels, transpose_a=True)
            size = tf.cast(tf.shape(pixels)[0], tf.float32)
            return tf.reduce_mean(pixels, axis=0), second / size

        found = tf.data.Dataset.from_tensor_slices(np.sort(chosen)).map(of, tf.data.AUTOTUNE)
        found = found.with_options(order.options())
        with _named([self]):
            means, seconds = zip(*found.as_numpy_iterator(), strict=True)
        return Moments(np.mean(means, axis=0, dtype=float), np.mean(seconds, axis=0, dtype=float))

    def files(self, count: int) -> list[bytes]:
        return [self.tree.content(int(number)) for number in self.numbers[:count]]

    def facts(self) -> Iterator[bytes]:
        """Paths, sizes, labels, and how each file begins: all of it would take too long to read."""
        yield np.ascontiguousarray(self.labels).tobytes()
        for number, begin in zip(self.numbers, self._beginnings, strict=True):
            yield f"{self.tree.names[number]}\0{self.tree.sizes[number]}\0".encode(
                "utf-8", "replace"
            )
            yield begin

    @functools.cached_property
    def _beginnings(self) -> list[bytes]:
        return trees.beginnings(self.tree, self.numbers.tolist(), BEGINNING)

    def check(self) -> None:
        """Raises ValueError for the first file that does not begin as a JPEG or PNG does."""
        for number, begin in zip(self.numbers, self._beginnings, strict=True):
            path = self.tree.path(int(number))
            if not begin:
                raise ValueError(f"{path} is empty: it has no bytes.")
            if not begin.startswith((images.JPEG, images.PNG)):
                raise ValueError(f"{path} is neither a JPEG nor a PNG.")

    def fault(self) -> str | None:
        good = 0
        places = tf.data.Dataset.range(len(self.numbers))

        @tf.autograph.experimental.do_not_convert
        def size(place: tf.Tensor) -> tf.Tensor:
            return tf.size(self.read(place))

        sizes = places.map(size, tf.data.AUTOTUNE).with_options(order.options())
        try:
            for _ in sizes:
                good += 1
        except UNREADABLE as error:
            path = self.tree.path(int(self.numbers[good]))
            return _asserted(error) or f"{path} cannot be read or decoded; it is damaged"
        return None


def _asserted(error: tf.errors.OpError) -> str | None:
    """What a check in a graph said."""
    found = re.search(r"assertion failed: \[(.*)\]", error.message)
    return found[1] if found else None


def readable(data: object) -> contextlib.AbstractContextManager[None]:
    """Turns the error of a picture that cannot be used into a UserError that names its file."""
    parts = [data.source.train, data.source.eval] if isinstance(data, Examples) else []
    return _named([part for part in parts if isinstance(part, Encoded)])


@contextlib.contextmanager
def _named(parts: Sequence[Encoded]) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        said = _asserted(error)
        if not said or not any(str(part.tree.place) in said for part in parts):
            said = next(filter(None, (part.fault() for part in parts)), None)
        if said is None:
            raise
        raise UserError(f"{said}.") from None
