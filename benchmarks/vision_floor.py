"""A step's convolutions or matrix products alone: what no implementation can do without."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers import Job

Call = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Convolution:
    """3x3 over [B, side, side, inside], as many zeros around, so many times in a network.

    Attributes:
        first: Whether it reads pictures, which need no gradient.
    """

    side: int
    inside: int
    outside: int
    stride: int
    times: int
    first: bool = False


RESNET = (
    Convolution(32, 3, 16, 1, 1, first=True),
    Convolution(32, 16, 16, 1, 6),
    Convolution(32, 16, 32, 2, 1),
    Convolution(16, 32, 32, 1, 5),
    Convolution(16, 32, 64, 2, 1),
    Convolution(8, 64, 64, 1, 5),
)


def job(case: Any, library: str) -> tuple[Job, str]:
    """The floor of a case of `benchmarks.vision_step`, by one library."""
    calls, flop = _products(case, library) if case.paper == "vit" else _resnet(case, library)
    what = "matrix products" if case.paper == "vit" else "convolutions"

    def run(steps: int) -> None:
        for _ in range(steps):
            for call, times in calls:
                for _ in range(times):
                    call()

    return run, f"{flop / 1e9:.0f} GFLOP of {what}"


def _resnet(case: Any, library: str) -> tuple[list[tuple[Call, int]], float]:
    calls, flop = [], 0.0
    random = np.random.default_rng(0)
    for c in RESNET:
        after = c.side // c.stride
        x = random.standard_normal((case.batch, c.side, c.side, c.inside), dtype=np.float32)
        w = random.standard_normal((3, 3, c.inside, c.outside), dtype=np.float32)
        y = random.standard_normal((case.batch, after, after, c.outside), dtype=np.float32)
        made = _by_tensorflow if library == "tensorflow" else _by_torch
        parts = made(c, x, w, y, last=library == "torch-channels-last")
        parts = [p for i, p in enumerate(parts) if not (c.first and i == 1)]
        calls += [(part, c.times) for part in parts]
        flop += 2 * y.size * w.size / c.outside * c.times * len(parts)
    return calls, flop


def _by_tensorflow(
    c: Convolution, x: np.ndarray, w: np.ndarray, y: np.ndarray, *, last: bool
) -> list[Call]:
    """Forward, into the input, into the weight; one zero on each side."""
    import tensorflow as tf

    p, k, g = tf.constant(x), tf.constant(w), tf.constant(y)
    raw = tf.raw_ops
    rest = {"strides": [1, c.stride, c.stride, 1], "padding": "EXPLICIT"}
    rest["explicit_paddings"] = [0, 0, 1, 1, 1, 1, 0, 0]
    return [
        lambda: raw.Conv2D(input=p, filter=k, **rest),
        lambda: raw.Conv2DBackpropInput(input_sizes=x.shape, filter=k, out_backprop=g, **rest),
        lambda: raw.Conv2DBackpropFilter(input=p, filter_sizes=w.shape, out_backprop=g, **rest),
    ]


def _by_torch(
    c: Convolution, x: np.ndarray, w: np.ndarray, y: np.ndarray, *, last: bool
) -> list[Call]:
    """Forward, into the input, into the weight."""
    import torch

    layout = torch.channels_last if last else torch.contiguous_format
    p, g = (torch.tensor(a.transpose(0, 3, 1, 2)).contiguous(memory_format=layout) for a in (x, y))
    k = torch.tensor(w.transpose(3, 2, 0, 1)).contiguous(memory_format=layout)
    shape = (None, [c.stride] * 2, [1, 1], [1, 1], False, [0, 0], 1)

    def back(mask: list[bool]) -> Call:
        return lambda: torch.ops.aten.convolution_backward(g, p, k, *shape, mask)

    def forward() -> Any:
        with torch.no_grad():
            return torch.conv2d(p, k, stride=c.stride, padding=1)

    return [forward, back([True, False, False]), back([False, True, False])]


def _products(case: Any, library: str) -> tuple[list[tuple[Call, int]], float]:
    """Of ViT-Ti/16: patches, twelve blocks and the classifier, forward and both backward."""
    width, depth, heads, patches = 192, 12, 3, (case.side // 16) ** 2
    rows, vectors = case.batch * (1 + patches), (case.batch * heads, 1 + patches, width // heads)
    sizes = [(rows, width, width, 4 * depth), (rows, width, 4 * width, depth)]
    sizes += [(rows, 4 * width, width, depth), (case.batch, width, case.classes, 1)]
    pairs: list[tuple[tuple[int, ...], tuple[int, ...], int]]
    pairs = [((case.batch * patches, 768), (768, width), 1)]
    pairs += [((768, case.batch * patches), (case.batch * patches, width), 1)]
    for m, k, n, times in sizes:
        pairs += [((m, k), (k, n), times), ((m, n), (n, k), times), ((k, m), (m, n), times)]
    scores = (*vectors[:2], vectors[1])
    turned = (vectors[0], vectors[2], vectors[1])
    pairs += [(vectors, turned, 2 * depth), (scores, vectors, 4 * depth)]
    random = np.random.default_rng(0)
    calls = []
    for left, right, times in pairs:
        a, b = (random.standard_normal(s, dtype=np.float32) for s in (left, right))
        calls.append((_product(library, a, b), times))
    return calls, sum(2.0 * math.prod(a) * b[-1] * times for a, b, times in pairs)


def _product(library: str, a: np.ndarray, b: np.ndarray) -> Call:
    if library == "tensorflow":
        import tensorflow as tf

        x, y = tf.constant(a), tf.constant(b)
        return lambda: tf.matmul(x, y)
    import torch

    p, q = torch.from_numpy(a), torch.from_numpy(b)
    return lambda: torch.matmul(p, q)
