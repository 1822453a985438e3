"""How many operations a traced step takes, counted in its graph.

Counted are products of matrices and convolutions, a multiplication and an addition for each pair of
numbers; what is done number by number is not, as is usual for a model's FLOPs (PaLM, appendix B).
Forward and backward, every branch of the gradient and every micro-batch stand in the graph as
operations of their own, so nothing is assumed of the network or of the learner.
"""

import math
from typing import Any

import tensorflow as tf

PRODUCTS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
FORWARD = ("Conv2D", "Conv3D", "DepthwiseConv2dNative")
OPAQUE = ("CudnnRNN", "XlaCallModule", "SymbolicGradient")  # what they compute is not seen


class Unknown(Exception):
    """A size or the length of a loop is decided only when the graph runs."""


def of(graph: tf.Graph) -> float:
    """Floating-point operations of one run of a graph, with all the functions that it calls.

    Of the branches of a condition the dearest counts; a loop counts as often as it goes round.

    Raises:
        Unknown: the number is not decided by the graph.
    """
    return sum(_of(op) for op in graph.get_operations())


def _of(op: Any) -> float:
    kind = op.type
    if kind in PRODUCTS:
        transposed = op.get_attr("transpose_a" if kind == "MatMul" else "adj_x")
        a = _shape(op.inputs[0])
        return 2.0 * math.prod(_shape(op.outputs[0])) * a[-2 if transposed else -1]
    if kind == "Einsum":
        return _einsum(op)
    if "Conv" in kind and (kind in FORWARD or "Backprop" in kind):
        return _convolution(op)
    if kind.startswith(OPAQUE):
        raise Unknown(f"{kind} does not say what it computes")
    if kind.endswith("PartitionedCall"):
        return of(_body(op, op.get_attr("f")))
    if kind in ("While", "StatelessWhile"):
        return _loop(op)
    if kind in ("If", "StatelessIf"):
        branches = [op.get_attr("then_branch"), op.get_attr("else_branch")]
        return max(of(_body(op, branch)) for branch in branches)
    if kind in ("Case", "StatelessCase"):
        return max(of(_body(op, branch)) for branch in op.get_attr("branches"))
    return 0.0


def _einsum(op: Any) -> float:
    """Two factors: the product of all dimensions that occur."""
    if len(op.inputs) < 2:
        return 0.0
    terms, result = op.get_attr("equation").decode().split("->")
    sizes: dict[str, int] = {}
    for term, tensor in zip([*terms.split(","), result], [*op.inputs, op.outputs[0]], strict=True):
        shape = _shape(tensor)
        left, dots, right = term.partition("...")
        sizes |= zip(left, shape, strict=False)
        if dots:
            sizes |= zip(right, shape[len(shape) - len(right) :], strict=True)
            rest = math.prod(shape[len(left) : len(shape) - len(right)])
            sizes["..."] = max(rest, sizes.get("...", 1))
    return 2.0 * math.prod(sizes.values())


def _convolution(op: Any) -> float:
    """Each number of the layer's output is a sum over one filter."""
    backward = "Backprop" in op.type
    output = op.inputs[2] if backward else op.outputs[0]
    filters = _shape(op.outputs[0] if "BackpropFilter" in op.type else op.inputs[1])
    away = filters[-2:] if op.type.startswith("Depthwise") else filters[-1:]
    return 2.0 * math.prod(_shape(output)) * math.prod(filters) / math.prod(away)


def _loop(op: Any) -> float:
    """A loop's first two inputs are its counter and its greatest count, -1 where it has none."""
    once = of(_body(op, op.get_attr("body")))
    most = tf.get_static_value(op.inputs[1])
    if once and (most is None or most < 0):
        raise Unknown(f"how often {op.name} goes round is decided only when the graph runs")
    return once * int(most if once else 0)


def _body(op: Any, function: Any) -> tf.Graph:
    return op.graph._get_function(function.name).graph


def _shape(tensor: Any) -> list[int]:
    if not tensor.shape.is_fully_defined():
        raise Unknown(f"{tensor.name} has shape {tensor.shape}")
    return [int(size) for size in tensor.shape]
