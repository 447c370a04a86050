"""How sure a share is that was counted, and how far off it may be by chance."""

from collections.abc import Sequence
from math import exp, floor, lgamma, log, log1p

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson(correct: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), which stays within [0, 1] and holds near its ends."""
    share, square = correct / count, Z_95**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = Z_95 * ((share * (1 - share) + square / (4 * count)) / count) ** 0.5 / (1 + square / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def spread(count: int, share: float) -> tuple[float, float]:
    """How far a count of successes is from its expectation by chance: the mean of |X - n p|, and its variance.

    X is binomial. De Moivre (1730) found the mean in closed form: 2 m C(n, m) p^m (1 - p)^(n - m + 1) with
    m = floor(n p) + 1.
    """
    if not 0 < share < 1:
        return 0.0, 0.0
    m = min(floor(count * share), count - 1) + 1  # a product that is rounded up to n is none
    ways = lgamma(count + 1) - lgamma(m + 1) - lgamma(count - m + 1)
    mean = 2 * m * exp(ways + m * log(share) + (count - m + 1) * log1p(-share))
    return mean, max(0.0, count * share * (1 - share) - mean**2)


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
