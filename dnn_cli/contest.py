"""Which of several runs is the best on the same images, and whether by more than chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnn_cli.intervals import holm, mcnemar

Array = np.ndarray[Any, np.dtype[Any]]

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Duel:
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


def duels(right: Mapping[str, Array]) -> list[Duel]:
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
        Duel(best, run, both, only_best, only_other, neither, p, corrected)
        for (run, (both, only_best, only_other, neither)), p, corrected in zip(
            counts.items(), p_values, holm(p_values), strict=True
        )
    ]
