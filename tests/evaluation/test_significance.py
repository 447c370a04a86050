"""Which run is better, and whether by more than chance."""

import numpy as np

from dnn_cli.evaluation import significance


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
