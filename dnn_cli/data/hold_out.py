"""Choose the images to hold out of others: each class gives its share, and the seed decides which images."""

import numpy as np

from dnn_cli import seeds
from dnn_cli.errors import DataError
from dnn_cli.seeds import Purpose
from dnn_cli.typing import Array


def held_out(labels: Array, amount: int | float, seed: int, purpose: Purpose, key: str) -> Array:
    """Return (n,) bool, True for the images to hold out.

    Each class gives its share. Shares are rounded by the largest remainder method, so that they add up exactly. Which
    images are held out depends on the labels, `amount`, `seed` and `purpose` alone.

    Args:
        labels: (n,) the labels of all images.
        amount: number (int) or fraction (float in (0, 1)) of the n images to hold out; 0 holds out none.
        seed: the config's seed.
        purpose: what the images are held out for.
        key: the setting, for messages.

    Raises:
        DataError: no image would be left to train on.
    """
    held = np.zeros(len(labels), dtype=bool)
    if amount == 0:
        return held
    total = len(labels)
    count = max(1, round(amount * total)) if isinstance(amount, float) else amount
    if not 0 < count < total:
        raise DataError(f"{key}: cannot hold out {count:,} of {total:,} training images; at most {total - 1:,} can be")
    random = seeds.generator(seed, purpose)
    for label, share in _shares(labels, count).items():
        held[random.permutation(np.flatnonzero(labels == label))[:share]] = True
    return held


def _shares(labels: Array, count: int) -> dict[int, int]:
    """Return label → number of images that the class gives to a hold-out of `count`, in proportion to its size."""
    classes, sizes = np.unique(labels, return_counts=True)
    shares, remainders = np.divmod(sizes * count, len(labels))
    largest = np.argsort(-remainders, kind="stable")[: count - shares.sum()]
    shares[largest] += 1
    return dict(zip(classes.tolist(), shares.tolist(), strict=True))
