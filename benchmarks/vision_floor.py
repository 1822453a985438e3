"""A step's convolutions or matrix products alone: what no implementation can do without."""

import collections
from typing import Any

from benchmarks import floors
from benchmarks.floors import Convolution, Product
from benchmarks.peers import Job


def job(case: Any, library: str) -> tuple[Job, str]:
    """The floor of a case of `benchmarks.vision_step`, by one library."""
    return floors.job(_vit(case) if case.paper == "vit" else _resnet(case), library)


def _resnet(case: Any) -> dict[floors.Operation, int]:
    """Of ResNet-20; the first convolution reads pictures, which need no gradient."""
    b = case.batch
    return {
        Convolution(b, 32, 3, 16, parts=("forward", "weight")): 1,
        Convolution(b, 32, 16, 16): 6,
        Convolution(b, 32, 16, 32, stride=2): 1,
        Convolution(b, 16, 32, 32): 5,
        Convolution(b, 16, 32, 64, stride=2): 1,
        Convolution(b, 8, 64, 64): 5,
    }


def _vit(case: Any) -> dict[floors.Operation, int]:
    """Of ViT-Ti/16: patches, twelve blocks and the classifier, forward and both backward."""
    width, depth, heads, patches = 192, 12, 3, (case.side // 16) ** 2
    rows, vectors = case.batch * (1 + patches), (case.batch * heads, 1 + patches, width // heads)
    sizes = [(rows, width, width, 4 * depth), (rows, width, 4 * width, depth)]
    sizes += [(rows, 4 * width, width, depth), (case.batch, width, case.classes, 1)]
    found: collections.Counter[floors.Operation] = collections.Counter()
    found[Product((case.batch * patches, 768), (768, width))] += 1
    found[Product((768, case.batch * patches), (case.batch * patches, width))] += 1
    for m, k, n, times in sizes:
        for left, right in (((m, k), (k, n)), ((m, n), (n, k)), ((k, m), (m, n))):
            found[Product(left, right)] += times
    scores = (*vectors[:2], vectors[1])
    found[Product(vectors, (vectors[0], vectors[2], vectors[1]))] += 2 * depth
    found[Product(scores, vectors)] += 4 * depth
    return found
