"""What a network makes of pictures, and of codes, to be looked at.

`make` is always a function of codes [n, K] that gives pictures as a codec's `see` does, `encode`
one of such pictures [n, S, S, C] that gives codes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from training.evaluators import pictures
from training.loop import Evaluator
from training.prepared import Prepared

COLUMNS = 8  # of a sheet
PAIRS = 16  # held-out pictures that are made again
SAMPLES = 32
REACH = 2.5  # how far codes are walked to each side, in standard deviations
SIDE = 12  # pictures a side of a plane
POINTS = 2000  # held-out pictures on a map
BATCH = 100
SEED = 0

Network = Callable[[tf.Tensor], tf.Tensor]


def reconstructions(
    remake: Network, prepared: Prepared, *, shown: Network | None = None
) -> Evaluator:
    """Held-out pictures in rows, below each row what the network makes of it.

    Args:
        remake: Pictures as the network is shown them to pictures.
        shown: What it is shown of a picture, drawn in between; None shows all.
    """

    @tf.function(autograph=False)
    def rows(seen: tf.Tensor) -> list[tf.Tensor]:
        if shown is None:
            return [seen, remake(seen)]
        given = shown(seen)
        return [seen, given, remake(given)]

    def look() -> dict[str, Any]:
        made = [row.numpy() for row in rows(_held_out(prepared, PAIRS)[0])]
        order = [row[i : i + COLUMNS] for i in range(0, PAIRS, COLUMNS) for row in made]
        return {"reconstructions": _sheet(prepared, np.concatenate(order))}

    return look


def samples(make: Network, prepared: Prepared, *, width: int) -> Evaluator:
    """Pictures of standard normal codes of so many numbers, the same codes each time."""
    codes = np.random.default_rng(SEED).normal(size=(SAMPLES, width))
    return _made("samples", make, prepared, codes)


def plane(make: Network, prepared: Prepared) -> Evaluator:
    """Pictures of codes of two numbers, a square grid in shares of their normal distribution.

    That is figure 4 of Kingma and Welling (2013).
    """
    share = np.linspace(0.5 / SIDE, 1 - 0.5 / SIDE, SIDE)
    at = np.sqrt(2) * tf.math.erfinv(2 * share - 1).numpy()
    across, down = np.meshgrid(at, at[::-1])
    return _made("plane", make, prepared, np.stack([across, down], -1).reshape(-1, 2), SIDE)


def traversals(make: Network, encode: Network, prepared: Prepared) -> Evaluator:
    """Pictures on the way along one number of a code, the others 0; a row for each number.

    Numbers come by how much held-out pictures differ in them, at most one for each column.
    """
    network, away = tf.function(make, autograph=False), np.linspace(-REACH, REACH, COLUMNS)
    codes_of = tf.function(encode, autograph=False)

    def look() -> dict[str, Any]:
        spread = codes_of(_held_out(prepared, BATCH)[0]).numpy().var(axis=0)
        rows = np.argsort(-spread, kind="stable")[:COLUMNS]
        codes = np.zeros((len(rows), COLUMNS, len(spread)), np.float32)
        for row, number in enumerate(rows):
            codes[row, :, number] = away
        made = network(tf.constant(codes.reshape(-1, len(spread))))
        return {"traversals": _sheet(prepared, made.numpy())}

    return look


def positions(encode: Network, prepared: Prepared) -> Evaluator:
    """Where the first two numbers of their codes put held-out pictures, coloured by class."""
    network = tf.function(encode, autograph=False)
    data: Any = prepared.data
    count = min(POINTS, len(data.source.eval.labels))

    def look() -> dict[str, Any]:
        batches = data.batches("eval", BATCH, seed=0).take(-(-count // BATCH))
        seen = [(network(b["image"]).numpy(), b["label"].numpy()) for b in batches]
        codes, labels = (np.concatenate(part)[:count] for part in zip(*seen, strict=True))

        def paint(figure: Any) -> None:
            axis = figure.add_subplot()
            for label, name in enumerate(prepared.codec.labels):
                own = codes[labels == label]
                colour = f"C{label % 10}"
                axis.scatter(own[:, 0], own[:, 1], s=6, color=colour, label=name)
            axis.set_aspect("equal", adjustable="datalim")
            axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))

        return {"positions": pictures.drawn(paint, width=6.0, height=5.0)}

    return look


def _held_out(prepared: Prepared, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The first pictures that are not learnt from, and their labels."""
    batch = next(iter(prepared.data.batches("eval", count, seed=0)))
    return batch["image"], batch["label"]


def _made(
    name: str, make: Network, prepared: Prepared, codes: np.ndarray, columns: int = COLUMNS
) -> Evaluator:
    network, fixed = tf.function(make, autograph=False), tf.constant(codes, tf.float32)
    return lambda: {name: _sheet(prepared, network(fixed).numpy(), columns)}


def _sheet(prepared: Prepared, seen: np.ndarray, columns: int = COLUMNS) -> np.ndarray:
    """uint8 [H, W, 3] of pictures as a network sees them, in rows of so many."""
    found = prepared.codec.unsee(tf.constant(seen, tf.float32)).numpy()
    return pictures.sheet(found, [""] * len(found), columns=columns)
