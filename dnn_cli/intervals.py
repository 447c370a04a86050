"""How sure a share is that was counted."""

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson(correct: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), which stays within [0, 1] and holds near its ends."""
    share, square = correct / count, Z_95**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = Z_95 * ((share * (1 - share) + square / (4 * count)) / count) ** 0.5 / (1 + square / count)
    return max(0.0, middle - half), min(1.0, middle + half)
