"""Jigsaw puzzles of nine tiles: orders far from each other, and tiles cut out of pictures.

Tiles and the cells that they come from count row by row from 0 to 8. A row's order says of each
place of the shuffled row which tile lies there.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from kmodels.core.codecs import images
from kmodels.core.rows import Draw

SIDE, TILES = 3, 9
LEAST = 0.01  # what a tile's deviation counts at least, so that a plain tile stays plain
NEVER = 1 << 30

Batch = dict[str, tf.Tensor]


@functools.cache
def permutations(count: int, *, seed: int = 0) -> np.ndarray:
    """So many orders of nine tiles, int32 [count, 9], the same for the same arguments.

    The first is drawn. Each further one is, of all that are left, the one with the largest mean
    Hamming distance from those already taken; the first in the order of a dictionary where several
    have it (Noroozi, Favaro 2016, algorithm 1). Of a thousand the mean distance is 8.0.
    """
    every = _every(TILES)
    places = np.ascontiguousarray(every.T)
    alike = np.zeros(len(every), np.int32)  # places that agree with those taken, summed
    taken = np.empty(count, np.int64)
    at = int(np.random.default_rng(seed).integers(len(every)))
    for i in range(count):
        taken[i] = at
        same = np.zeros(len(every), np.int8)
        for place, tile in zip(places, every[at], strict=True):
            same += place == tile
        alike += same
        alike[at] = NEVER
        at = int(alike.argmin())
    chosen = every[taken].astype(np.int32)
    chosen.flags.writeable = False
    return chosen


def _every(count: int) -> np.ndarray:
    """All orders of so many, uint8 [count!, count], in the order of a dictionary."""
    if count == 1:
        return np.zeros((1, 1), np.uint8)
    rest = _every(count - 1)
    first = np.repeat(np.arange(count, dtype=np.uint8), len(rest))[:, None]
    after = np.tile(rest, (count, 1))
    return np.concatenate([first, after + (after >= first)], axis=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """Where the tiles of a picture may lie, and how their colours are changed.

    Attributes:
        size: Side of the pictures; the three by three cells lie anywhere in them.
        channels: Of the pictures.
        cell: Side of a cell.
        tile: Side of a tile.
        jitter: By how many pixels a tile may lie elsewhere in its cell; 0 puts it in the middle.
        colour_shift: By how many pixels each channel of a tile is shifted at most.
        grey: Share of pictures that are shown without colour; of those no channel is shifted.
    """

    size: int
    channels: int
    cell: int
    tile: int
    jitter: int
    colour_shift: int = 0
    grey: float = 0.0

    @property
    def draws(self) -> dict[str, Draw]:
        """What is drawn for each picture of a batch; see `training.draws`."""
        drawn = {
            "order": Draw("uniform", ()),
            "corner": Draw("uniform", (2,)),
            "places": Draw("uniform", (TILES, 2)),
        }
        if self.channels > 1 and self.colour_shift:
            drawn["shifts"] = Draw("uniform", (TILES, 2, self.channels))
        if self.channels > 1 and self.grey:
            drawn["grey"] = Draw("uniform", ())
        return drawn

    def corners(self, batch: Batch) -> tf.Tensor:
        """Top and left of each channel of each tile, int32 [B, 9, 2, C or 1], from the draws."""
        corner = _whole(batch["corner"], self.size - SIDE * self.cell + 1)  # [B, 2]
        cells = self.cell * np.stack(np.divmod(np.arange(TILES), SIDE), axis=1).astype(np.int32)
        middle = (self.cell - self.tile - self.jitter) // 2
        at = corner[:, None] + cells + middle + _whole(batch["places"], self.jitter + 1)
        if "shifts" not in self.draws:
            return at[..., None]
        shifts = _whole(batch["shifts"], 2 * self.colour_shift + 1) - self.colour_shift
        shifts = tf.where(self._is_grey(batch)[:, None, None, None], 0, shifts)
        return tf.clip_by_value(at[..., None] + shifts, 0, self.size - self.tile)

    def tiles(self, image: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Nine tiles of each picture in the order of their cells, [B, 9, T, T, C].

        Args:
            image: [B, S, S, C]. Grey is the luma of these numbers, whatever they are centred by.
            batch: Holds `draws` for each of them.
        """
        if "grey" in self.draws:
            without = tf.repeat(images.coloured(image, 1), self.channels, axis=-1)
            image = tf.where(self._is_grey(batch)[:, None, None, None], without, image)
        return cut(image, self.corners(batch), self.tile)

    def _is_grey(self, batch: Batch) -> tf.Tensor:
        """bool [B]."""
        if "grey" not in self.draws:
            return tf.zeros_like(batch["order"], tf.bool)
        return batch["grey"] < self.grey


def cut(image: tf.Tensor, corners: tf.Tensor, tile: int) -> tf.Tensor:
    """Squares of pictures [B, S, S, C], of side `tile`: [B, 9, tile, tile, C].

    Args:
        corners: Top and left, int32 [B, 9, 2, C], or [B, 9, 2, 1] where channels lie together.
    """
    together = corners.shape[-1] == 1
    size, channels = image.shape[2], image.shape[3]
    planes = image[:, None] if together else tf.transpose(image, (0, 3, 1, 2))[..., None]
    groups = planes.shape[1]  # of channels that lie together
    at = tf.transpose(corners, (2, 0, 3, 1))[..., None] + tf.range(tile)  # [2, B, G, 9, T]
    lines = tf.reshape(at[0], (-1, groups, TILES * tile))
    rows = tf.gather(planes, lines, axis=2, batch_dims=2)  # [B, G, 9 * T, S, C / G]
    rows = tf.reshape(rows, (-1, groups, TILES, tile, size, channels // groups))
    found = tf.gather(rows, at[1], axis=4, batch_dims=3)  # [B, G, 9, T, T, C / G]
    found = tf.transpose(found, (0, 2, 3, 4, 5, 1))
    return tf.reshape(found, (-1, TILES, tile, tile, channels))


def shuffled(tiles: tf.Tensor, orders: tf.Tensor) -> tf.Tensor:
    """Tiles [B, 9, ...] as orders int32 [B, 9] say."""
    return tf.gather(tiles, orders, axis=1, batch_dims=1)


def drawn_order(batch: Batch, count: int) -> tf.Tensor:
    """Which of so many orders was drawn for each picture, int32 [B]."""
    return _whole(batch["order"], count)


def normalised(pictures: tf.Tensor) -> tf.Tensor:
    """Each channel of [..., H, W, C] with mean 0 and deviation 1, float32; a plain one is 0."""
    whole = tf.cast(pictures, tf.float32)
    whole -= tf.reduce_mean(whole, (-3, -2), keepdims=True)
    deviation = tf.sqrt(tf.reduce_mean(tf.square(whole), (-3, -2), keepdims=True))
    return whole / tf.maximum(deviation, LEAST)


def _whole(chance: tf.Tensor, count: int) -> tf.Tensor:
    """Numbers in [0, 1) to int32 in [0, count), each as often."""
    return tf.minimum(tf.cast(chance * count, tf.int32), count - 1)
