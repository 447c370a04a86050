"""Find images that occur more than once: exactly, by their digests, or nearly, by perceptual hashes."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dnn_cli.data.pixels import to_unit_range
from dnn_cli.data.reading import Part
from dnn_cli.typing import Array

SIDE = 16  # A perceptual hash has a bit for each pixel of an image reduced to this size.
BANDS = 16  # Images whose hashes agree in one of so many parts are compared.
MAX_GROUP = 40  # A larger group agrees for a plain reason, such as a part without contrast, and is not compared.
MAX_DIFFERENCE = 0.05  # Reduced images are nearly equal if their mean difference is at most this share of the contrast.
CHUNK = 1000  # Images that are reduced at a time.

Place = tuple[Part, int]  # a part and the index of an image in it


@dataclass(frozen=True)
class Duplicates:
    """Groups of images that are the same.

    Attributes:
        within: the part → how many of its images repeat an earlier one of the same part.
        between: two parts → how many images of the second are in the first too.
        other_labels: how many pairs of equal images have different labels.
        near: pairs of images that are nearly, but not exactly, the same; the first ones.
    """

    within: dict[Part, int]
    between: dict[tuple[Part, Part], int]
    other_labels: int
    near: list[tuple[Place, Place]]


def find(parts: Mapping[Part, tuple[Array, Array]]) -> Duplicates:
    """Compare all images of some parts.

    Args:
        parts: the name of a part → its images (n, height, width[, channels]), all of one shape, and labels (n,).
    """
    digests = {part: _digests(images) for part, (images, _) in parts.items()}
    within = {part: len(found) - len(set(found)) for part, found in digests.items()}
    names = list(parts)
    between = {
        (first, second): sum(digest in known for digest in digests[second])
        for place, first in enumerate(names)
        for known in [set(digests[first])]
        for second in names[place + 1 :]
    }
    labels: dict[bytes, set[int]] = defaultdict(set)
    for part, (_, of_part) in parts.items():
        for digest, label in zip(digests[part], of_part.tolist(), strict=True):
            labels[digest].add(label)
    other_labels = sum(len(found) - 1 for found in labels.values())
    return Duplicates(within, between, other_labels, _near(parts, digests))


def _digests(images: Array) -> list[bytes]:
    return [hashlib.sha256(image.tobytes()).digest() for image in images]


def _near(
    parts: Mapping[Part, tuple[Array, Array]], digests: Mapping[Part, Sequence[bytes]]
) -> list[tuple[Place, Place]]:
    """Return pairs of images that are nearly the same."""
    places = [(part, index) for part, found in digests.items() for index in range(len(found))]
    exact = [digest for found in digests.values() for digest in found]
    small = np.concatenate([_reduced(images) for images, _ in parts.values()])
    contrast = small.std(axis=1)
    bits = small > np.median(small, axis=1, keepdims=True)
    bands = np.packbits(bits, axis=1).view(np.uint16)[:, :BANDS]
    found = set()
    for band in bands.T:
        for one, other in _pairs_of_equal(band):
            difference = np.abs(small[one] - small[other]).mean()
            if exact[one] != exact[other] and difference <= MAX_DIFFERENCE * contrast[one]:
                found.add((one, other))
    return [(places[one], places[other]) for one, other in sorted(found)]


def _pairs_of_equal(values: Array) -> list[tuple[int, int]]:
    """Return the pairs of indices with equal values, for values that are not too frequent."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-1))
    pairs = []
    for group in np.split(order, starts[1:]):
        if 1 < len(group) <= MAX_GROUP:
            members = group.tolist()
            pairs += [(one, other) for place, one in enumerate(members) for other in members[place + 1 :]]
    return pairs


def _reduced(images: Array) -> Array:
    """Return images as grey of `SIDE` pixels a side: (n, SIDE * SIDE) float32 in [0, 1]."""
    chunks = []
    for start in range(0, len(images), CHUNK):
        grey = to_unit_range(images[start : start + CHUNK])
        grey = grey.mean(axis=-1) if grey.ndim > 3 else grey
        chunks.append(_averaged(_averaged(grey, 1), 2).reshape(len(grey), -1))
    return np.concatenate(chunks).astype(np.float32)


def _averaged(images: Array, axis: int) -> Array:
    """Reduce an axis to `SIDE` means of neighbours, or repeat pixels if there are fewer."""
    length = images.shape[axis]
    starts = np.arange(SIDE) * length // SIDE
    if length < SIDE:
        repeated: Array = np.take(images, starts, axis)
        return repeated
    counts = np.diff(starts, append=length)
    shape = [1, 1, 1]
    shape[axis] = SIDE
    sums: Array = np.add.reduceat(images, starts, axis)
    averaged: Array = sums / counts.reshape(shape)
    return averaged
