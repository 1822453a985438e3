"""Numbers that compare two samples: against other computations of them, and what each must do."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from training import metrics
from training.metrics import Moments

MODES = np.array([[0, 0], [0, 6], [6, 0], [6, 6]], float)


def rows(count, width=3, *, seed=0, mean=0.0, scale=1.0):
    return mean + scale * np.random.default_rng(seed).normal(size=(count, width))


def mixture(count, modes, *, seed=0):
    """Points around the first so many corners of a square."""
    rng = np.random.default_rng(seed)
    return rng.normal(MODES[rng.integers(0, modes, count)], 0.3)


def normal(mean, covariance):
    return Moments(np.array(mean, float), np.array(covariance, float))


class TestFrechet:
    def test_numbers_and_variances_have_a_closed_form(self):
        one, other = normal([1], [[4]]), normal([3], [[9]])
        assert metrics.frechet(one, other) == pytest.approx((3 - 1) ** 2 + (3 - 2) ** 2)
        one = normal([0, 0], np.diag([1, 4]))
        other = normal([3, 4], np.diag([9, 16]))
        assert metrics.frechet(one, other) == pytest.approx(25 + (1 - 3) ** 2 + (2 - 4) ** 2)

    @pytest.mark.parametrize("width", [1, 2, 7, 20])
    def test_it_is_what_a_general_root_of_a_matrix_gives(self, width):
        mix = np.random.default_rng(1).normal(size=(width, width))
        one = Moments.of(rows(60, width) @ mix)
        other = Moments.of(rows(80, width, seed=2, mean=0.3, scale=1.7))
        root = np.real(scipy.linalg.sqrtm(one.covariance @ other.covariance))
        away = np.sum((one.mean - other.mean) ** 2)
        expected = away + np.trace(one.covariance + other.covariance - 2 * np.atleast_2d(root))
        assert metrics.frechet(one, other) == pytest.approx(expected, rel=1e-9)

    def test_it_is_symmetric_and_nothing_between_equal_moments(self):
        one, other = Moments.of(rows(50, 5)), Moments.of(rows(50, 5, seed=1, scale=2))
        there, back = metrics.frechet(one, other), metrics.frechet(other, one)
        assert there == pytest.approx(back, rel=1e-12) and there > 1
        assert metrics.frechet(one, one) == pytest.approx(0, abs=1e-12)

    def test_fewer_rows_than_numbers_are_enough(self):
        one, other = Moments.of(rows(5, 20)), Moments.of(rows(6, 20, seed=1))
        assert 0 < metrics.frechet(one, other) < 100
        assert metrics.frechet(one, one) == pytest.approx(0, abs=1e-10)

    def test_moments_are_those_of_the_sample_in_any_precision(self):
        values = rows(9, 4).astype(np.float32)
        found = Moments.of(values)
        assert found.mean.dtype == found.covariance.dtype == np.float64
        np.testing.assert_allclose(found.mean, values.astype(float).mean(0), rtol=1e-12)
        away = values - found.mean
        np.testing.assert_allclose(found.covariance, away.T @ away / 8, rtol=1e-12)


class TestKid:
    def test_the_discrepancy_is_the_mean_over_pairs_of_different_rows(self):
        one, other = rows(5), rows(7, seed=1, mean=0.5)

        def kernel(x, y):
            return (sum(a * b for a, b in zip(x, y, strict=True)) / 3 + 1) ** 3

        def own(x):
            pairs = [kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
            return np.mean(pairs)

        across = np.mean([kernel(a, b) for a in one for b in other])
        expected = own(one) + own(other) - 2 * across
        assert metrics.mmd(one, other) == pytest.approx(expected, rel=1e-12)
        assert metrics.mmd(other, one) == pytest.approx(expected, rel=1e-12)

    def test_it_is_without_bias(self):
        """Its mean over pairs of samples of one distribution, beside its standard error.

        With pairs of a row with itself it would be far above: the test sees a bias.
        """

        def pairs(x, y):
            return ((x @ y.T / 3 + 1) ** 3).mean()

        samples = [(rows(20, seed=2 * i), rows(20, seed=2 * i + 1)) for i in range(400)]
        found = [metrics.mmd(*both) for both in samples]
        error = np.std(found) / math.sqrt(len(found))
        assert abs(np.mean(found)) < 3 * error
        assert (
            np.mean([pairs(x, x) + pairs(y, y) - 2 * pairs(x, y) for x, y in samples]) > 6 * error
        )

    def test_it_grows_with_the_distance(self):
        real = rows(200)
        found = [metrics.kid(real, rows(200, seed=1, mean=m))[0] for m in (0, 0.3, 0.6, 1.2)]
        assert abs(found[0]) < 0.1 < found[1] < found[2] < found[3]

    def test_subsets_are_the_same_every_time_and_of_the_size_they_should_be(self, monkeypatch):
        sizes = []

        def spy(one, other):
            sizes.append((len(one), len(other), len(np.unique(one, axis=0))))
            return float(len(sizes))

        real, made = rows(30), rows(24, seed=1)
        assert metrics.kid(real, made) == metrics.kid(real, made)
        monkeypatch.setattr(metrics, "mmd", spy)
        mean, deviation = metrics.kid(real, made)
        assert set(sizes) == {(12, 12, 12)} and len(sizes) == 100
        assert mean == 50.5 and deviation == pytest.approx(np.std(np.arange(1, 101)))
        monkeypatch.setattr(metrics, "SUBSET", 10)
        sizes.clear()
        metrics.kid(real, made)
        assert set(sizes) == {(10, 10, 10)}


def by_pairs(real, made, k):
    """Precision, recall, density and coverage from their definitions, a pair at a time."""

    def reach(sample, i):
        others = [math.dist(sample[i], sample[j]) for j in range(len(sample)) if j != i]
        return sorted(others)[k - 1]

    def within(centres, i, row):
        return math.dist(centres[i], row) <= reach(centres, i)

    real_, made_ = range(len(real)), range(len(made))
    return (
        np.mean([any(within(real, i, y) for i in real_) for y in made]),
        np.mean([any(within(made, i, x) for i in made_) for x in real]),
        np.mean([sum(within(real, i, y) for i in real_) for y in made]) / k,
        np.mean([any(within(real, i, y) for y in made) for i in real_]),
    )


class TestBalls:
    @pytest.mark.parametrize("k", [1, 3, 5])
    @pytest.mark.parametrize("pairs", [1, 40, 10_000])
    def test_all_four_are_their_definitions(self, k, pairs, monkeypatch):
        monkeypatch.setattr(metrics, "PAIRS", pairs)  # a row at a time, a few, all
        real, made = rows(17, 2), rows(13, 2, seed=1, mean=0.7)
        found = (
            *metrics.precision_recall(real, made, k=k),
            *metrics.density_coverage(real, made, k=k),
        )
        assert found == pytest.approx(by_pairs(real, made, k), abs=1e-12)

    def test_a_sample_is_all_of_itself(self):
        real = rows(40)
        assert metrics.precision_recall(real, real.copy()) == (1, 1)
        density, coverage = metrics.density_coverage(real, real.copy())
        assert coverage == 1 and density == pytest.approx(6 / 5), "k neighbours and the centre"

    def test_density_is_1_on_average_for_one_distribution(self):
        found = [
            metrics.density_coverage(rows(200, seed=2 * i), rows(200, seed=2 * i + 1))[0]
            for i in range(30)
        ]
        assert np.mean(found) == pytest.approx(1, abs=0.02)

    def test_dropped_modes_cost_recall_and_coverage_and_nothing_else(self):
        real = mixture(400, 4)
        found = {
            modes: (
                *metrics.precision_recall(real, mixture(400, modes, seed=1)),
                *metrics.density_coverage(real, mixture(400, modes, seed=1)),
            )
            for modes in (4, 2, 1)
        }
        precision, recall, density, coverage = (
            np.array(part) for part in zip(*found.values(), strict=True)
        )
        assert (precision > 0.9).all() and (density > 0.9).all()
        np.testing.assert_allclose(recall, np.array([1, 0.5, 0.25]), atol=0.1)
        np.testing.assert_allclose(coverage, np.array([1, 0.5, 0.25]), atol=0.1)

    def test_rows_between_the_modes_cost_precision_and_density_and_no_recall(self):
        real = mixture(400, 4)
        between = rows(200, 2, seed=2, mean=3.0, scale=0.3)
        made = np.concatenate([mixture(200, 4, seed=1), between])
        precision, recall = metrics.precision_recall(real, made)
        density, coverage = metrics.density_coverage(real, made)
        assert precision == pytest.approx(0.5, abs=0.05) and recall > 0.9
        assert density == pytest.approx(0.5, abs=0.1) and coverage > 0.85

    def test_one_strange_real_row_moves_precision_and_hardly_density(self):
        real = mixture(400, 4)
        made = rows(100, 2, seed=1, mean=30.0, scale=3.0)
        assert metrics.precision_recall(real, made)[0] == 0
        strange = np.concatenate([real, [[60.0, 60.0]]])
        assert metrics.precision_recall(strange, made)[0] == 1
        assert metrics.density_coverage(strange, made)[0] <= 1 / 5


class TestTwoSample:
    def test_neighbours_tell_as_well_as_can_be_told(self):
        """Normal rows a distance of 2 apart: the best rule is right as often as Phi(1)."""
        accuracy, chance = metrics.two_sample(rows(2000, 1), rows(2000, 1, seed=1, mean=2.0))
        assert accuracy == pytest.approx(scipy.stats.norm.cdf(1), abs=0.03) and chance < 1e-9
        assert metrics.two_sample(rows(40), rows(40, seed=1, mean=50)) == (
            1.0,
            pytest.approx(0, abs=1e-9),
        )

    def test_the_chance_is_that_of_the_normal_tail(self, monkeypatch):
        accuracy, chance = metrics.two_sample(rows(41), rows(60, seed=1, mean=0.2))
        asked = 20 + 30
        expected = scipy.stats.norm.sf(accuracy, 0.5, math.sqrt(1 / (4 * asked)))
        assert 0.3 < accuracy < 1 and chance == pytest.approx(expected, rel=1e-9)

    def test_of_one_distribution_it_is_half_right_and_the_chance_is_any(self):
        """A test at 10 % is wrong in about 10 % of 200 cases: binomially, below 37 surely."""
        found = [
            metrics.two_sample(rows(40, 2, seed=2 * i), rows(40, 2, seed=2 * i + 1))
            for i in range(200)
        ]
        accuracies, chances = np.array(found).T
        assert accuracies.mean() == pytest.approx(0.5, abs=0.02)
        assert 5 <= (chances < 0.1).sum() <= 37

    def test_it_is_the_same_in_few_or_many_rows_at_once(self, monkeypatch):
        real, made = rows(50), rows(50, seed=1, mean=0.5)
        whole = metrics.two_sample(real, made)
        monkeypatch.setattr(metrics, "PAIRS", 130)
        assert metrics.two_sample(real, made) == whole


class TestCopies:
    def test_the_nearest_is_the_nearest(self, monkeypatch):
        monkeypatch.setattr(metrics, "PAIRS", 25)
        known, asked = rows(10), rows(6, seed=1)
        expected = [min(math.dist(row, other) for other in known) for row in asked]
        np.testing.assert_allclose(metrics.nearest(asked, known), expected, rtol=1e-9)
        assert metrics.nearest(known, known).max() < 1e-6

    def test_pairs_are_counted_and_equal_ones_half(self):
        one, other = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.5])
        pairs = [0.5 if a == b else float(a < b) for a in one for b in other]
        assert metrics.nearer(one, other) == pytest.approx(np.mean(pairs))
        assert metrics.nearer(one, one) == 0.5

    def test_copies_are_told_from_new_rows(self):
        train, held_out, new = rows(300), rows(200, seed=1), rows(200, seed=2)
        fresh = metrics.nearest(held_out, train)
        assert metrics.nearer(metrics.nearest(train[:200], train), fresh) == 1
        close = train[:200] + rows(200, seed=3, scale=0.05)
        assert metrics.nearer(metrics.nearest(close, train), fresh) > 0.9
        assert metrics.nearer(metrics.nearest(new, train), fresh) == pytest.approx(0.5, abs=0.1)


class TestParzen:
    def test_it_is_the_likelihood_of_a_mixture_of_gaussians(self, monkeypatch):
        monkeypatch.setattr(metrics, "PAIRS", 25)
        made, others, real = (rows(n, seed=n, scale=0.3) for n in (10, 11, 12))

        def log_likelihoods(width, some):
            found = []
            for row in some:
                parts = np.exp(-((row - made) ** 2).sum(axis=1) / (2 * width**2))
                found.append(math.log(parts.mean() / (2 * math.pi * width**2) ** (row.size / 2)))
            return np.array(found)

        mean, error, width = metrics.parzen(made, others, real)
        wide = [w for w in metrics.WIDTHS if w > 0.04]  # with narrower ones these sums are 0
        assert width == max(wide, key=lambda w: log_likelihoods(w, others).mean())
        found = log_likelihoods(width, real)
        assert mean == pytest.approx(found.mean())
        assert error == pytest.approx(found.std(ddof=1) / math.sqrt(12))

    def test_rows_of_the_data_beat_strange_ones_and_far_ones_have_a_number(self):
        made, others, real = (rows(300, seed=n, scale=0.1) for n in range(3))
        best = metrics.parzen(made, others, real)
        assert best[0] > metrics.parzen(made + 0.3, others, real)[0] + 1
        far, _, width = metrics.parzen(made + 1000, others, real)
        assert math.isfinite(far) and width == metrics.WIDTHS[-1]


@pytest.mark.parametrize(
    ("number", "least"),
    [
        (lambda r: metrics.Moments.of(r), 2),
        (lambda r: metrics.parzen(rows(9), rows(9), r), 2),
        (lambda r: metrics.mmd(r, rows(9)), 2),
        (lambda r: metrics.kid(rows(9), r), 4),
        (lambda r: metrics.precision_recall(rows(9), r), 4),
        (lambda r: metrics.precision_recall(r, rows(9)), 4),
        (lambda r: metrics.density_coverage(r, rows(9)), 6),
        (lambda r: metrics.two_sample(r, rows(9)), 4),
    ],
)
def test_too_few_rows_are_refused(number, least):
    number(rows(least, seed=1))
    with pytest.raises(ValueError, match=f"There are {least - 1} rows of features; .* {least}"):
        number(rows(least - 1, seed=1))
