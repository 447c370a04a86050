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
