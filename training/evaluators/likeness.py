"""How like real pictures made ones are, to a network that was trained on pictures of their kind.

Pictures of the seeds 0, 1, 2 ... are compared with as many real ones, by what an extractor
(`training.extractors`) sees in both. How many they are does not depend on any batch size, and each
number is named after its extractor, for it means nothing beside another's:

    frechet_X               Fréchet's distance, squared; none is a FID
    kid_X, kid_deviation_X  squared mean discrepancy without bias, over subsets
    precision_X, recall_X   shares of made pictures among real ones, and the other way round
    density_X, coverage_X   the same, less moved by a strange picture
    ..._X_floor             the same numbers of as many other real pictures in place of made ones

A floor is what a generator would get that hands out training pictures; numbers of few pictures are
far from those of many, so they are read beside their floors. `thorough` adds

    two_sample_X            accuracy of telling made from real by neighbours; 0.5 where one cannot
    two_sample_chance_X     how likely so high a one is where they are alike
    copies_X                share of pairs in which a made picture is nearer to a training picture
                            than a held-out one is; above 0.5 it is suspicious, at 1 all are copies.
                            Where held-out pictures are of another kind, as the digits' are by other
                            hands, new pictures like the training ones are above 0.5 too
    nearest_X               median distance to the nearest training picture, beside it as floor that
                            of held-out pictures
    parzen, parzen_floor    log-likelihood in nats of half of the held-out pictures where made ones,
                            or training ones, have Gaussians around them, colours in [0, 1]; for the
                            papers that print it, and unreliable (`metrics.parzen`)
    parzen_error            its standard error
    parzen_width            of the Gaussians, chosen by the other half

Real pictures go the way of made ones: the run's codec brings them to its size, bytes of 0 to 255
are what the extractor is given, and its own codec resizes both alike.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kmodels.core.codecs.images import Images
from kmodels.core.paper import Endpoint
from training import extractors, metrics
from training.config import UserError, check
from training.data import labelled
from training.loop import Evaluator
from training.prepared import Prepared

COUNT = 1000  # pictures at an evaluation, where so many are held out
CHUNK = 250  # pictures that are made or read at once
LEAST = metrics.BALL + 1  # pictures that have enough neighbours
OTHER = {"eval": "train", "train": "eval"}

Draw = Callable[[tf.Tensor], tf.Tensor]  # int64 seeds [n] to pictures uint8 [n, S, S, C]


def by_seed(endpoint: Endpoint) -> Draw:
    """Pictures by an endpoint that asks for nothing but a seed."""
    options = {
        name: tf.constant(value, endpoint.inputs[name].dtype)
        for name, value in endpoint.defaults.items()
    }
    return lambda seeds: endpoint.function(seed=seeds, **options)["image"]


def make(draw: Draw, prepared: Prepared, *, count: int = COUNT) -> Sequence[Evaluator]:
    """What compares made pictures with held-out ones, or nothing.

    Nothing is compared where no extractor knows the data, or too few are there.

    Args:
        draw: Traceable; it is traced once, later calls read the weights as they then are.
        count: Pictures of each kind, at most as many as are held out.

    Raises:
        UserError: the extractor's file was changed.
    """
    data: Any = prepared.data
    name = data.source.extractor
    if not name or most(prepared) < LEAST:
        return ()
    extractors.check(name)
    judge = Judge(prepared, name, min(count, most(prepared)))
    made = _traced(draw)
    return [lambda: judge.compared(made(judge.count))]


def thorough(
    endpoint: Endpoint, prepared: Prepared, *, count: int, split: str, extractor: str | None
) -> Evaluator:
    """All numbers of so many pictures, and whether they are copies of training pictures.

    Args:
        endpoint: One that `answers`.
        split: What they are compared with.
        extractor: None is that of the data.

    Raises:
        UserError: no extractor knows the data, or too few or too many pictures are asked for.
    """
    data: Any = prepared.data
    name = extractor or data.source.extractor
    if not name:
        known = ", ".join(extractors.PINNED)
        raise UserError(f"No extractor was trained on such data; give --extractor, one of {known}.")
    extractors.check(name)
    there = most(prepared)
    if there < LEAST:
        raise UserError(
            f"--generated compares with at least {LEAST} real pictures, and the smaller part of "
            f"the data has {there}."
        )
    many = f"lie in {LEAST:,} to {there:,}, as there are real ones of each part"
    check(LEAST <= count <= there, "--generated", count, many)
    judge, made = Judge(prepared, name, count, split), _traced(by_seed(endpoint))

    def look() -> dict[str, Any]:
        pictures = made(count)
        return {**judge.compared(pictures), **judge.tested(pictures)}

    return look


def answers(endpoint: Endpoint, codec: Any) -> bool:
    """Whether an endpoint makes pictures of a seed alone."""
    return isinstance(codec, Images) and endpoint.inputs.keys() - endpoint.defaults == {"seed"}


def most(prepared: Prepared) -> int:
    """How many pictures can be compared: as many real ones there are in the smaller part."""
    data: Any = prepared.data
    return min(len(data.source.train.labels), len(data.source.eval.labels))


@dataclasses.dataclass(frozen=True, eq=False)
class Judge:
    """Real pictures of a run, seen once, and what made ones are beside them.

    Attributes:
        name: Of the extractor.
        count: Pictures of each kind, from the whole of their part.
        split: "eval" or "train", what is real; the other part gives the floor.
    """

    prepared: Prepared
    name: str
    count: int
    split: str = "eval"

    def compared(self, made: np.ndarray) -> dict[str, float]:
        """Numbers of pictures uint8 [count, S, S, C], and their floors."""
        found = self._numbers(self._extractor.features(made))
        named = {f"{key}_{self.name}": value for key, value in found.items()}
        return {**named, **self._floors}

    def tested(self, made: np.ndarray) -> dict[str, float]:
        """Whether pictures can be told from real ones, and are copies of training ones."""
        rows = self._extractor.features(made)
        train = self._seen("train", None)
        held_out = metrics.nearest(self._seen("eval", self.count), train)
        distances = metrics.nearest(rows, train)
        accuracy, chance = metrics.two_sample(self._real, rows)
        floor, floor_chance = metrics.two_sample(self._real, self._others)
        found = {
            "two_sample_{}": accuracy,
            "two_sample_{}_floor": floor,
            "two_sample_chance_{}": chance,
            "two_sample_chance_{}_floor": floor_chance,
            "copies_{}": metrics.nearer(distances, held_out),
            "nearest_{}": float(np.median(distances)),
            "nearest_{}_floor": float(np.median(held_out)),
        }
        return {key.format(self.name): value for key, value in found.items()} | self._parzen(made)

    def _parzen(self, made: np.ndarray) -> dict[str, float]:
        real, known = (
            np.concatenate(list(self._pictures(part, self.count))) for part in ("eval", "train")
        )
        made, real, known = (rows.reshape(len(rows), -1) / 255 for rows in (made, real, known))
        mean, error, width = metrics.parzen(made, real[::2], real[1::2])
        floor, _, _ = metrics.parzen(known, real[::2], real[1::2])
        return dict(parzen=mean, parzen_error=error, parzen_width=width, parzen_floor=floor)

    def _numbers(self, rows: np.ndarray) -> dict[str, float]:
        moments = metrics.Moments.of(self._real), metrics.Moments.of(rows)
        mean, deviation = metrics.kid(self._real, rows)
        precision, recall = metrics.precision_recall(self._real, rows)
        density, coverage = metrics.density_coverage(self._real, rows)
        return {
            "frechet": metrics.frechet(*moments),
            "kid": mean,
            "kid_deviation": deviation,
            "precision": precision,
            "recall": recall,
            "density": density,
            "coverage": coverage,
        }

    @property
    def _extractor(self) -> extractors.Extractor:
        return extractors.load(self.name)

    @functools.cached_property
    def _real(self) -> np.ndarray:
        return self._seen(self.split, self.count)

    @functools.cached_property
    def _others(self) -> np.ndarray:
        return self._seen(OTHER[self.split], self.count)

    @functools.cached_property
    def _floors(self) -> dict[str, float]:
        found = self._numbers(self._others)
        return {f"{key}_{self.name}_floor": value for key, value in found.items()}

    def _seen(self, split: str, count: int | None) -> np.ndarray:
        """Features of so many pictures of a part, None is all."""
        rows = [self._extractor.features(some) for some in self._pictures(split, count)]
        return np.concatenate(rows)

    def _pictures(self, split: str, count: int | None) -> Iterator[np.ndarray]:
        """Pictures uint8 [some, S, S, C] of a part, as the run's codec cuts them."""
        data: Any = self.prepared.data
        part = getattr(data.source, split)
        every = len(part.labels)
        places = labelled.spread(every, count or every)
        for some in np.array_split(places, range(CHUNK, len(places), CHUNK)):
            whole = tf.round(labelled.fitted(part, some, self.prepared.codec.fit))
            yield tf.cast(tf.clip_by_value(whole, 0, 255), tf.uint8).numpy()


def _traced(draw: Draw) -> Callable[[int], np.ndarray]:
    """Pictures uint8 [count, S, S, C] of the seeds from 0 on, some at a time."""
    traced = tf.function(draw, autograph=False)

    def made(count: int) -> np.ndarray:
        drawn = traced.get_concrete_function(tf.TensorSpec([None], tf.int64))
        firsts = range(0, count, CHUNK)
        some = [tf.range(first, min(first + CHUNK, count), dtype=tf.int64) for first in firsts]
        return np.concatenate([drawn(seeds).numpy() for seeds in some])

    return made
