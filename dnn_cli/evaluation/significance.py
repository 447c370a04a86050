"""Test whether classifiers differ by more than chance on the same images: McNemar's test, Holm's correction."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dnn_cli.stats import holm
from dnn_cli.typing import Array

SIGNIFICANCE_LEVEL = 0.05  # the difference of two classifiers is significant if its corrected p-value is below this


@dataclass(frozen=True)
class PairwiseTest:
    """The best run compared with another one, image by image.

    Attributes:
        best: the run with the highest accuracy.
        other: the run that it is compared with.
        both: number of images that both classify correctly.
        only_best: number of images that only the best run classifies correctly.
        only_other: number of images that only the other run classifies correctly.
        neither: number of images that both classify wrongly.
        p: the p-value of McNemar's exact test.
        corrected: the same after Holm's correction for the number of tests.
    """

    best: str
    other: str
    both: int
    only_best: int
    only_other: int
    neither: int
    p: float
    corrected: float

    @property
    def is_decided(self) -> bool:
        """True if the difference is significant."""
        return self.corrected < SIGNIFICANCE_LEVEL


def pairwise_tests(correct: Mapping[str, Array]) -> list[PairwiseTest]:
    """Test the run with the highest accuracy against each of the others.

    Args:
        correct: for each run, (n,) bool: whether it classifies an image correctly. The images are the same for all.

    Returns:
        A test for each of the others, in their order. Of runs with equal accuracy, the first counts as the best.
    """
    best = max(correct, key=lambda run: int(correct[run].sum()))
    one = correct[best]
    counts = {
        run: [int(np.count_nonzero(each)) for each in (one & other, one & ~other, ~one & other, ~one & ~other)]
        for run, other in correct.items()
        if run != best
    }
    p_values = [mcnemar(only_best, only_other) for _, only_best, only_other, _ in counts.values()]
    return [
        PairwiseTest(best, run, both, only_best, only_other, neither, p, corrected)
        for (run, (both, only_best, only_other, neither)), p, corrected in zip(
            counts.items(), p_values, holm(p_values), strict=True
        )
    ]


def mcnemar(only_one: int, only_other: int) -> float:
    """Return the two-sided p-value of McNemar's exact test (McNemar 1947).

    Under the null hypothesis both classifiers are equally good. Then, of the images that exactly one of them classifies
    correctly, each is correct with the first or with the second with equal probability, and the number of either kind
    is binomial with probability 1/2. The p-value is the probability of a split at least as uneven as the observed one.

    Args:
        only_one: number of images that only the first classifier gets right.
        only_other: number of images that only the second classifier gets right.

    Returns:
        A value in (0, 1]; 1 if both numbers are zero.
    """
    count, term, tail = only_one + only_other, 1, 0
    for successes in range(min(only_one, only_other) + 1):
        tail += term
        term = term * (count - successes) // (successes + 1)
    return min(1.0, 2 * tail / (1 << count))
