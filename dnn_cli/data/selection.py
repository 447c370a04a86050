"""Select the images that a config means: which classes, how many images of each, which are held out for validation.

The selection is a function of the labels, the settings and the seed alone, so that a run can be resumed and evaluated
on exactly the images that it was trained on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from dnn_cli import seeds
from dnn_cli.data import class_names, datasets
from dnn_cli.data.datasets import Dataset, Split
from dnn_cli.data.hold_out import held_out
from dnn_cli.data.reading import Reading
from dnn_cli.errors import DataError
from dnn_cli.seeds import Purpose


class SelectionSettings(Protocol):
    """Settings that select images. The config's section `data` has them; this package may not import it."""

    @property
    def classes(self) -> tuple[int | str, ...] | None:
        """The labels or names of the classes to keep; None keeps all."""

    @property
    def images_per_class(self) -> int | None:
        """Number of images to keep of each class; None keeps all."""

    @property
    def validation(self) -> int | float | Literal["part"]:
        """Number (int) or fraction (float in (0, 1)) of the selected images to hold out.

        0 holds out none, but uses the validation part of data that have one; ``part`` requires that part.
        """


class DatasetSettings(SelectionSettings, Protocol):
    """Settings that name a dataset; those of `Reading` belong to them too."""

    @property
    def dataset(self) -> str:
        """A known name, or a path."""

    @property
    def fallback(self) -> str | None:
        """The known name to use if ``mnist`` is missing."""


@dataclass(frozen=True)
class TrainingData:
    """The images of a training.

    Attributes:
        dataset: where they come from.
        training: the images to train on.
        held_out: the images to validate with; None if none are held out.
        classes: number of classes of the dataset, those included that are not selected.
        selected: the selected labels; None for all.
        fingerprint: digest of the dataset's complete training split, and of its validation part if that is used, by
            which a change of the data is detected.
        class_names: the name of every class in the order of the labels; None if they have none.
    """

    dataset: Dataset
    training: Split
    held_out: Split | None
    classes: int
    selected: tuple[int, ...] | None
    fingerprint: str
    class_names: tuple[str, ...] | None = None

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and, if the images have them, channels."""
        return tuple(self.training.images.shape[1:])


def find_dataset(settings: DatasetSettings, seed: int) -> Dataset:
    """Find the dataset that the config's section `data` names, and load its training split; see `datasets.find`."""
    return datasets.find(settings.dataset, settings.fallback, reading=Reading.of(settings, seed))


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
    everything, names = dataset.load("train"), dataset.class_names
    labels = class_names.resolve(settings.classes, names)
    training = select(everything, labels, settings.images_per_class, seed, names)
    fingerprint, validation, held = everything.fingerprint(), settings.validation, None
    if validation in (0, "part") and dataset.has_validation:
        part = dataset.load("validation")
        held = of_classes(part, labels)
        fingerprint = f"{fingerprint} {part.fingerprint()}"
    elif validation == "part":
        raise DataError(f"{dataset.path}: there is no validation part; set data.validation to a count or a fraction")
    else:
        training, held = hold_out(training, validation, seed)
    classes = max(everything.classes, len(names or ()))
    return TrainingData(dataset, training, held, classes, labels, fingerprint, names)


def of_classes(split: Split, classes: Collection[int] | None) -> Split:
    """Return the images of `split` that have one of these labels, in their order; all of them for None."""
    return split if classes is None else split.masked(np.isin(split.labels, list(classes)))


def select(
    split: Split,
    classes: Collection[int] | None,
    images_per_class: int | None,
    seed: int,
    names: Sequence[str] | None = None,
) -> Split:
    """Return the images of some classes, or the same number of images of each class.

    Order and labels stay as they are in `split`. Which images of a class are kept depends on the labels, the class and
    `seed` alone; a larger number keeps the same images and adds others.

    Args:
        split: n images and labels.
        classes: the labels to keep; None keeps all.
        images_per_class: number of images to keep of each class; None keeps all.
        seed: the config's seed.
        names: the names of the classes, for messages.

    Raises:
        DataError: `split` has no images of a class, or fewer than `images_per_class`.
    """
    check_classes(classes, np.unique(split.labels).tolist(), names)
    chosen = of_classes(split, classes)
    if images_per_class is None:
        return chosen
    _check_enough(chosen, images_per_class, names)
    kept = np.zeros(len(chosen.labels), dtype=bool)
    for label in np.unique(chosen.labels).tolist():
        random = seeds.generator(seed, Purpose.SELECTION, label)
        kept[random.permutation(np.flatnonzero(chosen.labels == label))[:images_per_class]] = True
    return chosen.masked(kept)


def check_classes(wanted: Collection[int] | None, present: Collection[int], names: Sequence[str] | None = None) -> None:
    """Raise `DataError` if one of the `wanted` labels is not among those `present`."""
    if missing := sorted({*(wanted or ())} - {*present}):
        known = [f"{label} ({class_names.show(label, names)})" if names else str(label) for label in present]
        raise DataError(
            f"data.classes: there are no training images of {', '.join(map(str, missing))}; "
            f"the labels are {', '.join(known)}"
        )


def _check_enough(split: Split, images_per_class: int, names: Sequence[str] | None) -> None:
    labels, counts = np.unique(split.labels, return_counts=True)
    few = [
        f"{count:,} of {class_names.show(label, names)}"
        for label, count in zip(labels.tolist(), counts, strict=True)
        if count < images_per_class
    ]
    if few:
        raise DataError(
            f"data.images_per_class: {images_per_class:,} images of each class are wanted; there are {', '.join(few)}"
        )


def hold_out(split: Split, validation: int | float, seed: int) -> tuple[Split, Split | None]:
    """Divide `split` into the images to train on and those held out for validation, or None.

    Both parts keep the order of `split`; `held_out` describes the arguments and the choice, and its errors.
    """
    if validation == 0:
        return split, None
    held = held_out(split.labels, validation, seed, Purpose.SPLIT, "data.validation")
    return split.masked(~held), split.masked(held)
