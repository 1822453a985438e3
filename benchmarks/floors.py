"""Operations that no implementation of a step can do without, each alone, by one library."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from benchmarks.peers import Job

Call = Callable[[], Any]
Part = Literal["forward", "input", "weight"]
ALL: tuple[Part, ...] = ("forward", "input", "weight")


@dataclasses.dataclass(frozen=True)
class Convolution:
    """Square filters over [batch, side, side, inside], half a filter of zeros around.

    Attributes:
        parts: Forward, into the input, into the weight; a transposed convolution is one whose
            forward is "input" and whose way into the input is "forward".
    """

    batch: int
    side: int
    inside: int
    outside: int
    stride: int = 1
    kernel: int = 3
    parts: tuple[Part, ...] = ALL

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Of what goes in, of the filters and of what comes out."""
        after = -(-self.side // self.stride)
        return (
            (self.batch, self.side, self.side, self.inside),
            (self.kernel, self.kernel, self.inside, self.outside),
            (self.batch, after, after, self.outside),
        )

    @property
    def flop(self) -> float:
        """Two for each pair of numbers, zeros around counted too."""
        _, filters, after = self.shapes
        return 2.0 * math.prod(filters) * math.prod(after[:3]) * len(self.parts)


@dataclasses.dataclass(frozen=True)
class Product:
    """Two matrices, or as many pairs as the dimensions before say."""

    left: tuple[int, ...]
    right: tuple[int, ...]

    @property
    def flop(self) -> float:
        return 2.0 * math.prod(self.left) * self.right[-1]


@dataclasses.dataclass(frozen=True)
class Update:
    """What an optimizer must read and write: weights, gradients and so many slots beside them."""

    weights: int
    slots: int

    @property
    def bytes(self) -> int:
        return 4 * self.weights * (3 + 2 * self.slots)


Operation = Convolution | Product | Update


def job(operations: Mapping[Operation, int], library: str) -> tuple[Job, str]:
    """Each operation so many times.

    Args:
        library: "torch-channels-first", "torch-channels-last", "torch" or "tensorflow".
    """
    calls = [
        (call, times)
        for operation, times in operations.items()
        for call in _calls(operation, library)
    ]

    def run(steps: int) -> None:
        for _ in range(steps):
            for call, times in calls:
                for _ in range(times):
                    call()

    return run, about(operations)


def about(operations: Mapping[Operation, int]) -> str:
    """How many operations of what, and how many bytes."""
    kinds = {Convolution: "convolutions", Product: "matrix products"}
    found = {type(operation) for operation in operations}
    flop = sum(o.flop * n for o, n in operations.items() if not isinstance(o, Update))
    moved = sum(o.bytes * n for o, n in operations.items() if isinstance(o, Update))
    said = f"{flop / 1e9:.3g} GFLOP of {' and '.join(v for k, v in kinds.items() if k in found)}"
    return said + (f", {moved / 1e6:.3g} MB of weights moved" if moved else "")


def _calls(operation: Operation, library: str) -> list[Call]:
    if isinstance(operation, Update):
        return [_update(operation)]
    if isinstance(operation, Product):
        return [_product(operation, library)]
    x, w, y = (_random(shape) for shape in operation.shapes)
    if library == "tensorflow":
        return _by_tensorflow(operation, x, w, y)
    return _by_torch(operation, x, w, y, last=library == "torch-channels-last")


def _random(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def _by_tensorflow(c: Convolution, x: np.ndarray, w: np.ndarray, y: np.ndarray) -> list[Call]:
    import tensorflow as tf

    p, k, g = tf.constant(x), tf.constant(w), tf.constant(y)
    around, raw = [c.kernel // 2] * 2, tf.raw_ops
    rest = {"strides": [1, c.stride, c.stride, 1], "padding": "EXPLICIT"}
    rest["explicit_paddings"] = [0, 0, *around, *around, 0, 0]
    known: dict[Part, Call] = {
        "forward": lambda: raw.Conv2D(input=p, filter=k, **rest),
        "input": lambda: raw.Conv2DBackpropInput(
            input_sizes=x.shape, filter=k, out_backprop=g, **rest
        ),
        "weight": lambda: raw.Conv2DBackpropFilter(
            input=p, filter_sizes=w.shape, out_backprop=g, **rest
        ),
    }
    return [known[part] for part in c.parts]


def _by_torch(
    c: Convolution, x: np.ndarray, w: np.ndarray, y: np.ndarray, *, last: bool
) -> list[Call]:
    import torch

    layout = torch.channels_last if last else torch.contiguous_format
    p, g = (torch.tensor(a.transpose(0, 3, 1, 2)).contiguous(memory_format=layout) for a in (x, y))
    k = torch.tensor(w.transpose(3, 2, 0, 1)).contiguous(memory_format=layout)
    around = c.kernel // 2
    shape = (None, [c.stride] * 2, [around] * 2, [1, 1], False, [0, 0], 1)

    def back(mask: list[bool]) -> Call:
        return lambda: torch.ops.aten.convolution_backward(g, p, k, *shape, mask)

    def forward() -> Any:
        with torch.no_grad():
            return torch.conv2d(p, k, stride=c.stride, padding=around)

    known: dict[Part, Call] = {
        "forward": forward,
        "input": back([True, False, False]),
        "weight": back([False, True, False]),
    }
    return [known[part] for part in c.parts]


def _product(product: Product, library: str) -> Call:
    a, b = _random(product.left), _random(product.right)
    if library == "tensorflow":
        import tensorflow as tf

        x, y = tf.constant(a), tf.constant(b)
        return lambda: tf.matmul(x, y)
    import torch

    p, q = torch.from_numpy(a), torch.from_numpy(b)
    return lambda: torch.matmul(p, q)


def _update(update: Update) -> Call:
    """One pass over all numbers, by PyTorch's Adagrad or Adam in every library: they do just that.

    A plain copy would move fewer bytes.
    """
    import torch

    kind = {1: torch.optim.Adagrad, 2: torch.optim.Adam}[update.slots]
    weight = torch.zeros(update.weights, requires_grad=True)
    weight.grad = torch.ones(update.weights)
    return functools.partial(kind([weight], fused=True).step)
