"""Every random number of a training as a pure function of the config's seed and of what it is for.

Nothing here keeps state, so that a resumed training draws what an undisturbed one would have drawn.
"""

from enum import IntEnum
from typing import Any

import numpy as np


class Purpose(IntEnum):
    """What random numbers are for; each purpose has streams of its own."""

    ORDER = 1
    WEIGHTS = 2
    DROPOUT = 3
    SPLIT = 4
    AUGMENTATION = 5
    SELECTION = 6
    CHECK = 7


def generator(seed: int, purpose: Purpose, *index: int) -> np.random.Generator:
    """The generator of one purpose, for example ``generator(seed, Purpose.ORDER, epoch)``."""
    # NumPy pads short seeds with zeros; the length keeps (1,) and (1, 0) apart.
    return np.random.default_rng((seed, purpose, len(index), *index))


def integer(seed: int, purpose: Purpose, *index: int) -> int:
    """One number in [0, 2**31), fit to seed an initializer or a layer."""
    return int(generator(seed, purpose, *index).integers(2**31))


def order(images: int, seed: int, epoch: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    """The order of the training images in an epoch: a permutation of range(images), int32."""
    return generator(seed, Purpose.ORDER, epoch).permutation(images).astype(np.int32)
