"""Test intervals against published values, and the deviation of binomial counts against a sum over all counts."""

from math import comb

import pytest

from dnn_cli import stats


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    [
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
        (8, 10, 0.49016, 0.94332),
        (50, 100, 0.40383, 0.59617),
        (9790, 10000, 0.97600, 0.98163),
    ],
)
def test_the_wilson_interval_of_a_proportion(correct: int, count: int, low: float, high: float) -> None:
    assert stats.wilson(correct, count) == pytest.approx((low, high), abs=1e-5)


@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (7, 0.3), (40, 0.01), (40, 0.99), (200, 0.5)])
def test_the_deviation_of_a_binomial_count(count: int, share: float) -> None:
    probabilities = [comb(count, hits) * share**hits * (1 - share) ** (count - hits) for hits in range(count + 1)]
    distances = [abs(hits - count * share) for hits in range(count + 1)]
    mean = sum(p * d for p, d in zip(probabilities, distances, strict=True))
    square = sum(p * d * d for p, d in zip(probabilities, distances, strict=True))
    assert stats.binomial_deviation(count, share) == pytest.approx((mean, square - mean**2), rel=1e-6, abs=1e-9)


def test_a_certain_count_has_no_deviation() -> None:
    assert stats.binomial_deviation(10, 0.0) == stats.binomial_deviation(10, 1.0) == (0.0, 0.0)
    assert stats.binomial_deviation(10_000, 1 - 2**-53)[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("degrees", "t"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (30, 2.042), (120, 1.980)],
)  # Abramowitz & Stegun (1964), table 26.10
def test_students_distribution_agrees_with_tables(degrees: int, t: float) -> None:
    assert stats.student_95(degrees) == pytest.approx(t, abs=5e-4)
    assert stats.student_within(t, degrees) == pytest.approx(0.95, abs=5e-5)


@pytest.mark.parametrize(
    ("degrees", "t", "within"), [(1, 1.0, 0.5), (2, 31.599, 0.999), (3, 1.638, 0.8), (10, 4.587, 0.999), (7, 0.0, 0.0)]
)
def test_other_probabilities_of_students_distribution(degrees: int, t: float, within: float) -> None:
    assert stats.student_within(t, degrees) == pytest.approx(within, abs=1e-4)


def test_mean_deviation_and_interval_of_a_sample() -> None:
    found = stats.spread([0.96, 0.97, 0.98])
    assert found.count == 3
    assert (found.mean, found.deviation) == pytest.approx((0.97, 0.01))
    assert found.interval == pytest.approx((0.97 - 4.303 * 0.01 / 3**0.5, 0.97 + 4.303 * 0.01 / 3**0.5), abs=1e-5)
    assert str(found) == "0.9700 ± 0.0100 (0.9452 to 0.9948)"
    assert stats.spread([0.9, 1.0]).interval == pytest.approx((0.95 - 12.706 * 0.05, 1.0), abs=1e-4)
    assert stats.spread([0.25]) == stats.Spread(1, 0.25, None, None)
    assert str(stats.spread([0.25])) == "0.2500"


def test_the_paired_test_of_students_own_example() -> None:
    # The additional hours of sleep by two drugs (Student 1908, Cushny and Peebles); R's t.test gives p = 0.002833.
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    differences = [two - one for one, two in zip(first, second, strict=True)]
    assert stats.paired_t_test(differences) == pytest.approx(0.002833, abs=5e-7)
    assert stats.paired_t_test([0.1, 0.3 - 0.2]) == 1.0
    assert stats.paired_t_test([0.0, 0.0]) == 1.0


def test_holm_corrects_p_values_in_their_order() -> None:
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]
    assert stats.holm([]) == []
