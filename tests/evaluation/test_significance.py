"""Test McNemar's test, Holm's correction, and the tests of the best run against the others."""

import numpy as np
import pytest

from dnn_cli.evaluation import significance


def test_the_best_run_is_tested_against_each_of_the_others() -> None:
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


def test_runs_of_equal_accuracy_do_not_differ_and_one_run_needs_no_test() -> None:
    correct = np.array([True, False])
    (test,) = significance.pairwise_tests({"one": correct, "other": correct[::-1]})
    assert (test.best, test.p, test.is_decided) == ("one", 1.0, False)
    assert significance.pairwise_tests({"alone": correct}) == []


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
def test_mcnemar_agrees_with_known_p_values(only_one: int, only_other: int, p: float) -> None:
    assert significance.mcnemar(only_one, only_other) == pytest.approx(p, rel=1e-3)
    assert significance.mcnemar(only_one, only_other) == significance.mcnemar(only_other, only_one)


def test_mcnemar_of_many_images_is_computed_without_overflow() -> None:
    assert 0 < significance.mcnemar(4900, 5100) < 0.05
    assert significance.mcnemar(0, 10_000) == 0  # less than a float can be
