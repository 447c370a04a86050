"""The interval of a share, against values worked out elsewhere, and what chance does, against counting."""

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
def test_the_interval_of_an_accuracy(correct: int, count: int, low: float, high: float) -> None:
    assert stats.wilson(correct, count) == pytest.approx((low, high), abs=1e-5)


@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (7, 0.3), (40, 0.01), (40, 0.99), (200, 0.5)])
def test_how_far_chance_takes_a_count_from_what_is_expected(count: int, share: float) -> None:
    probabilities = [comb(count, hits) * share**hits * (1 - share) ** (count - hits) for hits in range(count + 1)]
    distances = [abs(hits - count * share) for hits in range(count + 1)]
    mean = sum(p * d for p, d in zip(probabilities, distances, strict=True))
    square = sum(p * d * d for p, d in zip(probabilities, distances, strict=True))
    assert stats.spread(count, share) == pytest.approx((mean, square - mean**2), rel=1e-6, abs=1e-9)


def test_what_is_certain_is_not_changed_by_chance() -> None:
    assert stats.spread(10, 0.0) == stats.spread(10, 1.0) == (0.0, 0.0)
    assert stats.spread(10_000, 1 - 2**-53)[0] == pytest.approx(0, abs=1e-9)
