"""Compute intervals of proportions and means, tests of differences, and the variation of binomial counts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import atan, cos, exp, floor, lgamma, log, log1p, pi, sin, sqrt
from statistics import fmean, stdev
from typing import Any

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


@dataclass(frozen=True)
class Spread:
    """The distribution of a figure over several samples.

    Attributes:
        count: the number of samples, at least 1.
        mean: their mean.
        deviation: their standard deviation, with n - 1 in the denominator; None for one sample.
        interval: the 95 % interval of the mean by Student's t distribution; None if there is no deviation.
    """

    count: int
    mean: float
    deviation: float | None
    interval: tuple[float, float] | None

    def __str__(self) -> str:
        if self.deviation is None or self.interval is None:
            return f"{self.mean:.4f}"
        return f"{self.mean:.4f} ± {self.deviation:.4f} ({self.interval[0]:.4f} to {self.interval[1]:.4f})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def spread(values: Sequence[float], *, bounded: bool = True) -> Spread:
    """Return mean, standard deviation and interval of a sample; `bounded` values are shares, so the interval is too."""
    count, mean = len(values), fmean(values)
    if count < 2:
        return Spread(count, mean, None, None)
    deviation = stdev(values)
    half = student_95(count - 1) * deviation / sqrt(count)
    low, high = mean - half, mean + half
    return Spread(count, mean, deviation, (max(0.0, low), min(1.0, high)) if bounded else (low, high))


def paired_t_test(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of Student's paired t-test: that the mean of the differences is 0 (Student 1908).

    Args:
        differences: one difference per pair, two at least.

    Returns:
        A value in [0, 1]; 1 if all differences are equal but for rounding, because their variation is then unknown.
    """
    count, mean, deviation = len(differences), fmean(differences), stdev(differences)
    if deviation <= 1e-9 * max(map(abs, differences)):
        return 1.0
    return max(0.0, 1 - student_within(abs(mean) / (deviation / sqrt(count)), count - 1))


def student_within(t: float, degrees: int) -> float:
    """Return the probability that a variable of Student's t distribution lies in [-t, t].

    The sums of Abramowitz & Stegun (1964), equations 26.7.3 and 26.7.4, are exact for whole degrees of freedom.

    Args:
        t: the bound, at least 0.
        degrees: the degrees of freedom, at least 1.
    """
    angle = atan(t / sqrt(degrees))
    start = degrees % 2  # powers of the cosine: 1, 3, 5, … if `degrees` is odd, else 0, 2, 4, …
    term, total = cos(angle) ** start, 0.0
    for power in range(start, degrees - 1, 2):
        total += term
        term *= cos(angle) ** 2 * (power + 1) / (power + 2)
    return 2 / pi * (angle + sin(angle) * total) if start else sin(angle) * total


def student_95(degrees: int) -> float:
    """Return the t with probability 0.95 within [-t, t], by bisection; it is 12.7 for one degree of freedom."""
    low, high = Z_95, 13.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if student_within(middle, degrees) < 0.95 else (low, middle)
    return high


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p-values of several tests for their number (Holm 1979).

    Compare the corrected values with the same level as uncorrected ones. The probability that any true null hypothesis
    is rejected then stays below that level. The smallest of m values is multiplied by m, the next by m - 1, and so on;
    none becomes smaller than the one before it, or larger than 1.

    Returns:
        The corrected values, in the order of `p_values`.
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
