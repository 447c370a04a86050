"""Confidence intervals of proportions and the spread of binomial counts."""

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
