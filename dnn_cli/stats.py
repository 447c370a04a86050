"""Compute confidence intervals of proportions, and the random variation of binomial counts."""

from math import exp, floor, lgamma, log, log1p

Z_95 = 1.959963984540054  # half the width of a 95 % interval, in standard deviations of a normal distribution


def wilson(correct: int, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a proportion (Wilson 1927).

    It stays within [0, 1], and is accurate for proportions near 0 and 1 too.

    Args:
        correct: successes, from 0 to `count`.
        count: trials, at least 1.
    """
    share, square = correct / count, Z_95**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = Z_95 * ((share * (1 - share) + square / (4 * count)) / count) ** 0.5 / (1 + square / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def binomial_deviation(count: int, share: float) -> tuple[float, float]:
    """Return the mean and the variance of |X - n p|, the distance of a binomial count from its expectation.

    De Moivre (1730) found the mean in closed form: 2 m C(n, m) p^m (1 - p)^(n - m + 1) with m = floor(n p) + 1.

    Args:
        count: trials, n.
        share: probability of success, p.
    """
    if not 0 < share < 1:
        return 0.0, 0.0
    m = min(floor(count * share), count - 1) + 1  # the product can be rounded up to n
    ways = lgamma(count + 1) - lgamma(m + 1) - lgamma(count - m + 1)
    mean = 2 * m * exp(ways + m * log(share) + (count - m + 1) * log1p(-share))
    return mean, max(0.0, count * share * (1 - share) - mean**2)
