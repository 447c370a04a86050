"""Test whether classifiers differ by more than chance on the same images: McNemar's test, Holm's correction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dnn_cli.typing import Array


def mcnemar(only_one: int, only_other: int) -> float:
    """How likely two classifiers that are equally good would differ by so much on the same images, or by more.

    McNemar's test (1947), exact: of the images that only one of them gets right, each is equally likely that of either,
    so that their number is binomial with probability 1/2. Two-sided.

    Args:
        only_one: images that only the one gets right.
        only_other: images that only the other gets right.

    Returns:
        p in (0, 1]; 1 where there are no such images.
    """
    count, term, tail = only_one + only_other, 1, 0
    for successes in range(min(only_one, only_other) + 1):
        tail += term
        term = term * (count - successes) // (successes + 1)
    return min(1.0, 2 * tail / (1 << count))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p of several tests, each made so large that all who stay small are wrong together no more often (Holm 1979).

    The smallest is multiplied by their number, the next by one less, and so on; none becomes less than one before it.
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


SIGNIFICANT = 0.05


@dataclass(frozen=True)
class PairwiseTest:
    """The best run beside another one, image by image.

    Attributes:
        best: the run with the highest accuracy.
        other: the one that it is compared with.
        both: how many images both get right.
        only_best: how many the best alone gets right.
        only_other: how many the other alone gets right.
        neither: how many none of them gets right.
        p: of McNemar's exact test.
        corrected: the same after Holm's correction for the number of duels.
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
        """Whether the difference is more than chance."""
        return self.corrected < SIGNIFICANT


def pairwise_tests(right: Mapping[str, Array]) -> list[PairwiseTest]:
    """The best of several runs against each of the others, in their order; of equals, the first is the best.

    Args:
        right: for each run (n,) bool, whether it got an image right; the images are the same ones.
    """
    best = max(right, key=lambda run: int(right[run].sum()))
    one = right[best]
    counts = {
        run: [int(np.count_nonzero(each)) for each in (one & other, one & ~other, ~one & other, ~one & ~other)]
        for run, other in right.items()
        if run != best
    }
    p_values = [mcnemar(only_best, only_other) for _, only_best, only_other, _ in counts.values()]
    return [
        PairwiseTest(best, run, both, only_best, only_other, neither, p, corrected)
        for (run, (both, only_best, only_other, neither)), p, corrected in zip(
            counts.items(), p_values, holm(p_values), strict=True
        )
    ]
