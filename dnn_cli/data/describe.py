"""Describe a user's own data before anything is trained: kind, parts, classes, sizes, values and duplicates."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from dnn_cli.data import class_names, datasets, duplicates
from dnn_cli.data.datasets import Dataset, Split
from dnn_cli.data.decoding import DifferentSizesError
from dnn_cli.data.duplicates import Duplicates
from dnn_cli.data.reading import Part, Reading

SHOWN_PAIRS = 3  # Nearly equal images that are named.


@dataclass(frozen=True)
class Description:
    """What was understood of a dataset.

    Attributes:
        dataset: the dataset, all parts loaded.
        splits: the part → its images and labels.
        names: the name of every class.
        proposed_size: the size that the pictures were given to compare them, where they have different ones.
        duplicates: the images that occur more than once.
    """

    dataset: Dataset
    splits: dict[Part, Split]
    names: tuple[str, ...]
    proposed_size: tuple[int, int] | None
    duplicates: Duplicates

    @property
    def kind(self) -> str:
        """The form of the data, as a phrase."""
        return self.dataset.source.kind

    @property
    def is_held_out(self) -> bool:
        """Whether the test images are held out of all."""
        return self.dataset.source.is_pool()

    def counts(self, part: Part) -> list[int]:
        """Return the number of images of each class in a part."""
        counts: list[int] = np.bincount(self.splits[part].labels, minlength=len(self.names)).tolist()
        return counts

    def warnings(self) -> Iterator[str]:
        """Yield what the user should look at, one sentence each."""
        yield from self.dataset.source.warnings
        found = self.duplicates
        for part, count in found.within.items():
            if count:
                yield f"{count:,} {part} images repeat others of the same part exactly"
        for (first, second), count in found.between.items():
            if count:
                yield f"{count:,} {second} images are {first} images too: figures on them say too much"
        if found.other_labels:
            yield f"{found.other_labels:,} images occur with several labels"
        if found.near:
            pairs = [" and ".join(f"{part} image {index}" for part, index in pair) for pair in found.near[:SHOWN_PAIRS]]
            more = f", and {len(found.near) - SHOWN_PAIRS:,} more pairs" if len(found.near) > SHOWN_PAIRS else ""
            yield f"{len(found.near):,} pairs of images are nearly the same: {', '.join(pairs)}{more}"

    def to_dict(self) -> dict[str, Any]:
        """Return the description as JSON values."""
        counts = {part: self.counts(part) for part in self.splits}
        return {
            "kind": self.kind,
            "test_is_held_out": self.is_held_out,
            "image_shape": list(self.splits["train"].images.shape[1:]),
            "proposed_size": self.proposed_size,
            "classes": [
                {"class": label, "name": name, **{part: counts[part][label] for part in counts}}
                for label, name in enumerate(self.names)
            ],
            "remarks": self.dataset.source.remarks,
            "warnings": list(self.warnings()),
        }


def describe(name: str, reading: Reading) -> Description:
    """Read all parts of a user's own data, and compare their images.

    Broken pictures are left out and named; pictures of different sizes are given a common one.

    Args:
        name: the path.
        reading: the settings.

    Raises:
        DataError: the data cannot be read.
    """
    reading = replace(reading, on_broken="skip")
    proposed = None
    try:
        dataset = datasets.find(name, reading=reading)
        splits = _load(dataset)
    except DifferentSizesError as error:
        proposed = error.proposed
        dataset = datasets.find(name, reading=replace(reading, image_size=proposed))
        dataset.source.warnings.append(str(error))
        splits = _load(dataset)
    classes = max(split.classes for split in splits.values())
    names = dataset.class_names or ()
    shown = tuple(class_names.show(label, names) for label in range(max(classes, len(names))))
    images = {part: (split.images, split.labels) for part, split in splits.items()}
    return Description(dataset, splits, shown, proposed, duplicates.find(images))


def _load(dataset: Dataset) -> dict[Part, Split]:
    stored = dataset.source.parts()
    wanted: list[Part] = [
        part
        for part in get_args(Part)
        if part in stored or (part == "test" and dataset.source.is_pool() and dataset.reading.test)
    ]
    return {part: dataset.load(part) for part in wanted}
