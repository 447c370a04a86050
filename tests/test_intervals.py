"""The interval of a share, against values worked out elsewhere."""

import pytest

from dnn_cli import intervals


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
    assert intervals.wilson(correct, count) == pytest.approx((low, high), abs=1e-5)
