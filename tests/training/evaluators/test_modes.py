"""Modes are counted as the formulas say."""

import numpy as np
import pytest
import tensorflow as tf

from kmodels.core.paper import Endpoint
from training.data import grid, ring
from training.evaluators import modes

CENTRES = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def points(*counts, apart=0.0):
    """So many points a centre, each so far from it."""
    return (CENTRES + np.array([apart, 0.0])).repeat(counts, axis=0)


def test_what_all_modes_have_equally_is_perfect():
    found = modes.measured(points(5, 5, 5, 5), CENTRES, 0.01)
    assert found == {"modes": 4, "modes_1_percent": 4, "high_quality": 1, "reverse_kl": 0}


def test_one_mode_is_a_divergence_of_log_k():
    found = modes.measured(points(9, 0, 0, 0), CENTRES, 0.01)
    assert (found["modes"], found["reverse_kl"]) == (1, pytest.approx(np.log(4)))


def test_one_lucky_point_is_a_mode_and_no_hundredth():
    found = modes.measured(points(300, 300, 1, 0), CENTRES, 0.01)
    assert (found["modes"], found["modes_1_percent"]) == (3, 2)
    shares = np.array([300, 300, 1]) / 601
    assert found["reverse_kl"] == pytest.approx(shares @ np.log(4 * shares))


@pytest.mark.parametrize(("apart", "good"), [(0.0299, 1.0), (0.0301, 0.0)])
def test_quality_ends_at_three_deviations(apart, good):
    found = modes.measured(points(3, 3, 3, 3, apart=apart), CENTRES, 0.01)
    assert found["high_quality"] == good and found["modes"] == 4 * good
    assert found["reverse_kl"] == 0, "every point has a nearest mode"


@pytest.mark.parametrize(("family", "count", "within"), [(ring, 8, 0.989), (grid, 25, 0.989)])
def test_real_points_cover_all_modes(family, count, within):
    """In two dimensions 1 - exp(-9 / 2) of a Gaussian lie within three deviations."""
    source = family.read(None)
    found = modes.measured(source.train.inputs, source.centres, source.deviation)
    assert found["modes"] == found["modes_1_percent"] == count
    assert found["high_quality"] == pytest.approx(within, abs=2e-3)
    assert 0 < found["reverse_kl"] < 1e-3


def test_the_evaluator_asks_the_endpoint_with_fixed_seeds_and_draws():
    source, asked = ring.read(None), []

    def generate(seed):
        asked.append(seed)
        rows = tf.gather(tf.constant(source.centres, tf.float32), seed % 5)
        return {"features": rows}

    spec = {"seed": tf.TensorSpec([None], tf.int64)}
    endpoint = Endpoint(function=generate, inputs=spec, example={"seed": [0, 1]})
    shown = modes.found(endpoint, source, count=100)()
    assert (shown["modes"], shown["high_quality"]) == (5, 1)
    assert shown["points"].dtype == np.uint8 and shown["points"].ndim == 3
    assert len(asked) == 1
