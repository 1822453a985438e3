"""A tree of sums against a running sum over all weights."""

import numpy as np
import pytest

from training.data.sum_tree import SumTree


@pytest.mark.parametrize("count", [1, 2, 3, 64, 100])
def test_it_finds_what_a_running_sum_finds(count):
    rng, tree, weights = np.random.default_rng(count), SumTree(count), np.zeros(count)
    for _ in range(20):
        places = rng.integers(0, count, 7)
        some = rng.integers(0, 4, 7) / 4.0  # sums are exact
        for place, weight in zip(places, some, strict=True):
            weights[place] = weight
        tree.set(places, weights[places])
        assert tree.total == weights.sum()
        if not weights.any():
            continue
        sums = np.concatenate([[0.0], rng.random(50) * weights.sum()])
        wanted = np.searchsorted(np.cumsum(weights), sums, side="right")
        assert tree.find(sums).tolist() == wanted.tolist()


def test_nothing_of_weight_0_is_found_even_where_a_sum_is_rounded_up_to_the_total():
    tree = SumTree(10)
    tree.set(np.array([2, 5]), np.array([0.1, 0.2]))
    assert tree.find(np.array([tree.total, np.nextafter(tree.total, 0), 0.0])).tolist() == [5, 5, 2]


def test_sums_do_not_depend_on_what_the_weights_were_before():
    rng, tree, again = np.random.default_rng(0), SumTree(1000), SumTree(1000)
    for _ in range(50):
        tree.set(rng.integers(0, 1000, 20), rng.random(20) * 1e6)
        tree.find(np.zeros(1))
    again.set(np.arange(1000), tree.leaves)
    assert tree.total == again.total
    assert np.array_equal(tree.nodes, again.nodes)
