"""Select the images that a config means: which classes, how many images of each, which are held out for validation.

The selection is a function of the labels, the settings and the seed alone, so that a run can be resumed and evaluated
on exactly the images that it was trained on.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dnn_cli import seeds
from dnn_cli.data.datasets import Dataset, Split
from dnn_cli.errors import DataError
from dnn_cli.seeds import Purpose
from dnn_cli.typing import Array


class SelectionSettings(Protocol):
    """Settings that select images. The config's section `data` has them; this package may not import it."""

    @property
    def classes(self) -> tuple[int, ...] | None:
        """The labels to keep; None keeps all."""

    @property
    def images_per_class(self) -> int | None:
        """Number of images to keep of each class; None keeps all."""

    @property
    def validation(self) -> int | float:
        """Number (int) or fraction (float in (0, 1)) of the selected images to hold out; 0 holds out none."""


@dataclass(frozen=True)
class TrainingData:
    """The images of a training.

    Attributes:
        dataset: where they come from.
        training: the images to train on.
        held_out: the images to validate with; None if none are held out.
        classes: number of classes of the dataset, those included that are not selected.
        selected: the selected labels; None for all.
        fingerprint: digest of the dataset's complete training split, by which a change of the data is detected.
    """

    dataset: Dataset
    training: Split
    held_out: Split | None
    classes: int
    selected: tuple[int, ...] | None
    fingerprint: str

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and, if the images have them, channels."""
        return tuple(self.training.images.shape[1:])


def select_training_data(dataset: Dataset, settings: SelectionSettings, seed: int) -> TrainingData:
    """Return the images of `dataset` that a training with these settings uses.

    Args:
        dataset: the dataset; its training split is read.
        settings: the config's section `data`.
        seed: the config's seed.

    Raises:
        DataError: the training split cannot be read, has not enough images of a class, or none would be left to train
            on.
    """
    everything = dataset.load("train")
    selected = select(everything, settings.classes, settings.images_per_class, seed)
    training, held_out = hold_out(selected, settings.validation, seed)
    return TrainingData(dataset, training, held_out, everything.classes, settings.classes, everything.fingerprint())


def of_classes(split: Split, classes: Collection[int] | None) -> Split:
    """Return the images of `split` that have one of these labels, in their order; all of them for None."""
    return split if classes is None else _masked(split, np.isin(split.labels, list(classes)))


def select(split: Split, classes: Collection[int] | None, images_per_class: int | None, seed: int) -> Split:
    """Return the images of some classes, or the same number of images of each class.

    Order and labels stay as they are in `split`. Which images of a class are kept depends on the labels, the class and
    `seed` alone; a larger number keeps the same images and adds others.

    Args:
        split: n images and labels.
        classes: the labels to keep; None keeps all.
        images_per_class: number of images to keep of each class; None keeps all.
        seed: the config's seed.

    Raises:
        DataError: `split` has no images of a class, or fewer than `images_per_class`.
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
    return _masked(chosen, kept)


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


def _masked(split: Split, mask: Array) -> Split:
    return Split(split.images[mask], split.labels[mask])


def hold_out(split: Split, validation: int | float, seed: int) -> tuple[Split, Split | None]:
    """Divide `split` into the images to train on and those held out for validation.

    Each class gives its share. Shares are rounded by the largest remainder method, so that they add up exactly. Which
    images are held out depends on the labels, `validation` and `seed` alone. Both parts keep the order of `split`.

    Args:
        split: n images and labels.
        validation: number (int) or fraction (float in (0, 1)) of the n images to hold out; 0 holds out none.
        seed: the config's seed.

    Returns:
        The images to train on, and those held out, or None.

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
    return _masked(split, ~held), _masked(split, held)


def _shares(labels: Array, count: int) -> dict[int, int]:
    """Return label → number of images that the class gives to a hold-out of `count`, in proportion to its size."""
    classes, sizes = np.unique(labels, return_counts=True)
    shares, remainders = np.divmod(sizes * count, len(labels))
    largest = np.argsort(-remainders, kind="stable")[: count - shares.sum()]
    shares[largest] += 1
    return dict(zip(classes.tolist(), shares.tolist(), strict=True))
