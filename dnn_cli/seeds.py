"""Draw every random number of a training as a pure function of the config's seed and of the purpose.

Nothing here keeps state, so a resumed training draws the same numbers as an uninterrupted one.
"""

from enum import IntEnum
from typing import Any

import numpy as np


class Purpose(IntEnum):
    """Purpose of random numbers; each has separate streams."""

    ORDER = 1
    WEIGHTS = 2
    DROPOUT = 3
    SPLIT = 4
    AUGMENTATION = 5
    SELECTION = 6
    CHECK = 7
    TEST = 8
    REFUSAL = 9


def generator(seed: int, purpose: Purpose, *index: int) -> np.random.Generator:
    """Return the generator of one stream, for example ``generator(seed, Purpose.ORDER, epoch)``.

    Args:
        seed: the config's seed, not negative.
        purpose: what the numbers are for.
        index: which stream of that purpose, such as the epoch.
    """
    # NumPy pads short seeds with zeros; with their length, (1,) and (1, 0) give different numbers.
    return np.random.default_rng((seed, purpose, len(index), *index))


def integer(seed: int, purpose: Purpose, *index: int) -> int:
    """Return an integer in [0, 2**31), which can seed an initializer or a layer."""
    return int(generator(seed, purpose, *index).integers(2**31))


def order(images: int, seed: int, epoch: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return the order of the training images in an epoch: a permutation of range(images), (images,) int32."""
    return generator(seed, Purpose.ORDER, epoch).permutation(images).astype(np.int32)
