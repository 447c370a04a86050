"""Select classes and images of a dataset, and hold some out for validation."""

from collections.abc import Collection

import numpy as np

from dnn_cli import seeds
from dnn_cli.data.datasets import Split
from dnn_cli.errors import DataError
from dnn_cli.seeds import Purpose
from dnn_cli.typing import Array


def of_classes(split: Split, classes: Collection[int] | None) -> Split:
    """The images of `split` with one of these labels, in their order; all of them for None."""
    return split if classes is None else _where(split, np.isin(split.labels, list(classes)))


def select(split: Split, classes: Collection[int] | None, images_per_class: int | None, seed: int) -> Split:
    """The part of the training images that is asked for; it keeps the order and the labels of `split`.

    Which images of a class are taken is a function of its labels, the class and `seed` alone; more of them are those
    and others.

    Args:
        split: n images and labels.
        classes: the labels to keep; None is all.
        images_per_class: how many images of each; None is all.
        seed: the config's seed.

    Raises:
        DataError: `split` has nothing of a class, or too few images of one.
    """
    check_classes(classes, np.unique(split.labels).tolist())
    chosen = of_classes(split, classes)
    if images_per_class is None:
        return chosen
    _check_enough(chosen, images_per_class)
    kept = np.zeros(len(chosen.labels), dtype=bool)
    for label in np.unique(chosen.labels).tolist():
        random = seeds.generator(seed, Purpose.SELECTION, label)
        kept[random.permutation(np.flatnonzero(chosen.labels == label))[:images_per_class]] = True
    return _where(chosen, kept)


def check_classes(wanted: Collection[int] | None, present: Collection[int]) -> None:
    """Raise `DataError` if one of the `wanted` labels is not among those `present`."""
    if missing := sorted({*(wanted or ())} - {*present}):
        raise DataError(
            f"data.classes: there are no training images of {', '.join(map(str, missing))}; "
            f"the labels are {', '.join(map(str, present))}"
        )


def _check_enough(split: Split, images_per_class: int) -> None:
    labels, counts = np.unique(split.labels, return_counts=True)
    few = [f"{count:,} of {label}" for label, count in zip(labels, counts, strict=True) if count < images_per_class]
    if few:
        raise DataError(
            f"data.images_per_class: {images_per_class:,} images of each class are wanted; there are {', '.join(few)}"
        )


def _where(split: Split, mask: Array) -> Split:
    return Split(split.images[mask], split.labels[mask])


def hold_out(split: Split, validation: int | float, seed: int) -> tuple[Split, Split | None]:
    """Divide `split` into what remains for training and what is held out for validation.

    Each class gives its share, rounded by largest remainder, so that the counts add up exactly. Which images are
    taken is a function of the labels, `validation` and `seed` alone. Both parts keep the order of `split`.

    Args:
        split: n images and labels.
        validation: how many images to hold out (int), or which fraction of n (float in (0, 1)); 0 holds out none.
        seed: the config's seed.

    Returns:
        The rest, and the hold-out or None.

    Raises:
        DataError: no image would be left to train on.
    """
    if validation == 0:
        return split, None
    total = len(split.labels)
    count = max(1, round(validation * total)) if isinstance(validation, float) else validation
    if not 0 < count < total:
        raise DataError(
            f"data.validation: cannot hold out {count:,} of {total:,} training images; at most {total - 1:,} can be"
        )
    held = np.zeros(total, dtype=bool)
    random = seeds.generator(seed, Purpose.SPLIT)
    for label, share in _shares(split.labels, count).items():
        held[random.permutation(np.flatnonzero(split.labels == label))[:share]] = True
    return _where(split, ~held), _where(split, held)


def _shares(labels: Array, count: int) -> dict[int, int]:
    """How many of `count` images each class gives: its proportion, rounded by largest remainder."""
    classes, sizes = np.unique(labels, return_counts=True)
    shares, remainders = np.divmod(sizes * count, len(labels))
    largest = np.argsort(-remainders, kind="stable")[: count - shares.sum()]
    shares[largest] += 1
    return dict(zip(classes.tolist(), shares.tolist(), strict=True))
