"""The interval of a share, against values worked out elsewhere, and what chance does, against counting."""

from math import comb

import pytest

from dnn_cli import stats
from dnn_cli.evaluation.significance import holm, mcnemar


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


@pytest.mark.parametrize(
    ("only_one", "only_other", "p"),
    [
        (0, 0, 1.0),
        (6, 6, 1.0),
        (5, 0, 0.0625),  # 2 / 2^5
        (9, 1, 0.021484375),  # 2 (1 + 10) / 2^10
        (2, 10, 0.03857421875),  # 2 (1 + 12 + 66) / 2^12
        (59, 121, 4.434e-06),  # binom.test(59, 180) of R
    ],
)
def test_mcnemar(only_one: int, only_other: int, p: float) -> None:
    assert mcnemar(only_one, only_other) == pytest.approx(p, rel=1e-3)
    assert mcnemar(only_one, only_other) == mcnemar(only_other, only_one)


def test_mcnemar_of_many_images() -> None:
    assert 0 < mcnemar(4900, 5100) < 0.05
    assert mcnemar(0, 10_000) == 0  # less than a float can be


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
