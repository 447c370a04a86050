"""Which run is better, and whether by more than chance."""

import numpy as np
import pytest

from dnn_cli.evaluation import significance
from dnn_cli.evaluation.significance import holm, mcnemar


def test_the_best_meets_each_of_the_others() -> None:
    truth = np.ones(200, bool)
    one, two, three = truth.copy(), truth.copy(), truth.copy()
    one[:2] = False
    two[1:5] = False
    three[50:80] = False
    first, second = significance.pairwise_tests({"two": two, "one": one, "three": three})
    assert (first.best, first.other) == ("one", "two")
    assert (first.both, first.only_best, first.only_other, first.neither) == (195, 3, 1, 1)
    assert first.p == 0.625  # 2 (1 + 4) / 16
    assert first.corrected == 0.625
    assert not first.is_decided
    assert (second.other, second.only_best, second.only_other) == ("three", 30, 2)
    assert second.is_decided
    assert second.corrected == 2 * second.p


def test_equals() -> None:
    right = np.array([True, False])
    (duel,) = significance.pairwise_tests({"one": right, "other": right[::-1]})
    assert (duel.best, duel.p, duel.is_decided) == ("one", 1.0, False)
    assert significance.pairwise_tests({"alone": right}) == []


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
def test_mcnemar_gives_the_exact_p_value(only_one: int, only_other: int, p: float) -> None:
    assert mcnemar(only_one, only_other) == pytest.approx(p, rel=1e-3)
    assert mcnemar(only_one, only_other) == mcnemar(only_other, only_one)


def test_mcnemar_of_many_images_does_not_overflow() -> None:
    assert 0 < mcnemar(4900, 5100) < 0.05
    assert mcnemar(0, 10_000) == 0  # less than a float can be


def test_holm_corrects_for_the_number_of_tests() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
