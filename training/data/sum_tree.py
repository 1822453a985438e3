"""Numbers whose sums are kept, so that one is found by its share of the whole in O(log n)."""

import numpy as np


class SumTree:
    """A binary tree over some weights; each inner node is the sum of its two children.

    Sums are always added up from the leaves, never corrected by differences, so they depend on the
    weights alone and not on what these were before. Weights are set at once, and their sums
    renewed together when something is asked.

    Args:
        count: Leaves, all 0 at first.
    """

    def __init__(self, count: int) -> None:
        self.first = 1 << max(count - 1, 1).bit_length()  # where the leaves begin; node 1 is above
        self.nodes = np.zeros(2 * self.first)
        self.leaves = self.nodes[self.first : self.first + count]
        self.changed: list[np.ndarray] = []

    def set(self, places: np.ndarray, weights: np.ndarray | float) -> None:
        """Sets the weights of some leaves; of a leaf that is named twice the last one counts."""
        self.leaves[places] = weights
        self.changed.append(places)

    def _renew(self) -> None:
        if not self.changed:
            return
        nodes = np.unique(np.concatenate(self.changed)) + self.first
        self.changed.clear()
        while nodes[0] > 1:
            nodes = np.unique(nodes >> 1)
            self.nodes[nodes] = self.nodes[2 * nodes] + self.nodes[2 * nodes + 1]

    @property
    def total(self) -> float:
        """The sum of all weights."""
        self._renew()
        return float(self.nodes[1])

    def find(self, sums: np.ndarray) -> np.ndarray:
        """For each sum in [0, total) the leaf at which the weights, added up in order, exceed it.

        A leaf of weight 0 is never found, unless all are.
        """
        self._renew()
        nodes, left = np.ones(len(sums), np.int64), np.array(sums, np.float64)
        for _ in range(self.first.bit_length() - 1):
            nodes *= 2
            below = self.nodes[nodes]
            right = (left >= below) & (self.nodes[nodes + 1] > 0)
            left -= np.where(right, below, 0.0)
            nodes += right
        return nodes - self.first
