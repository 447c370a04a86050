"""A list of encoded pictures with the class of each: what folders of pictures, lists in CSV files and Parquet share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

import numpy as np

from dnn_cli.data import cache, class_names, decoding, formats
from dnn_cli.data.cache import Entry
from dnn_cli.data.decoding import Picture
from dnn_cli.data.reading import Reading
from dnn_cli.errors import DataError, require_extra
from dnn_cli.typing import Array


@dataclass(frozen=True)
class PictureList:
    """The pictures of a part, one at least.

    Attributes:
        place: where they are, for messages.
        state: JSON values that change whenever a file changes: names, sizes and times.
        newest: the time when a file changed last, in seconds since 1970.
        pictures: returns the pictures; it is called only if they are not in the cache.
        labels: (n,) int32, the class of each picture.
    """

    place: str
    state: Any
    newest: float
    pictures: Callable[[], Sequence[Picture]]
    labels: Array


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures.

    Attributes:
        images: (n, height, width[, 3]) uint8.
        labels: (n,) int32.
        names: the name of each picture.
        digests: the SHA-256 of each encoded picture.
        broken: a phrase about each picture that was skipped.
    """

    images: Array
    labels: Array
    names: list[str]
    digests: list[str]
    broken: list[str]


def read(listed: PictureList, reading: Reading, warn: Callable[[str], None]) -> Pictures:
    """Decode the pictures of a list, or take them from the cache.

    Raises:
        DataError: a picture is broken and `on_broken` is ``error``, or none is left, or `decoding.decode` fails.
        UsageError: Pillow is not installed.
    """
    require_extra("images", "PIL", purpose=f"reading {listed.place}")
    # Whoever follows links, and how much memory is allowed, does not change what a picture looks like.
    settings = replace(reading, follow_links=False, max_bytes=None, seed=0, test=None, class_names=None)
    pillow = metadata.version("pillow")
    entry = cache.cached(
        cache.signature(vars(settings), pillow, listed.place, listed.state, listed.labels.tolist()),
        cache.signature(vars(settings), pillow),
        listed.newest,
        lambda: _decode(listed, reading),
        warn,
    )
    reading.check_memory(listed.place, len(entry.images), entry.images.shape[1:])
    found = Pictures(entry.images, entry.labels, **entry.about)
    if found.broken:
        count = f"{len(found.broken):,} broken picture{'s are' if len(found.broken) > 1 else ' is'}"
        warn(f"{listed.place}: {count} left out: {class_names.listed(found.broken)}")
    return found


def _decode(listed: PictureList, reading: Reading) -> Entry:
    pictures = listed.pictures()
    decoded = decoding.decode(pictures, listed.place, reading)
    broken = [f"{pictures[index].name} ({problem})" for index, problem in decoded.broken.items()]
    if broken and reading.on_broken == "error":
        raise DataError(
            f"{listed.place}: {len(broken):,} of {len(pictures):,} pictures cannot be read: "
            f"{class_names.listed(broken)}; data.on_broken: skip leaves them out"
        )
    images, labels, kept = decoded.images, listed.labels, list(range(len(pictures)))
    if broken:
        mask = np.ones(len(pictures), dtype=bool)
        mask[list(decoded.broken)] = False
        images, labels, kept = images[mask], labels[mask], np.flatnonzero(mask).tolist()
    if not kept:
        raise DataError(f"{listed.place}: no picture can be read")
    about = {
        "names": [pictures[index].name for index in kept],
        "digests": [decoded.digests[index] for index in kept],
        "broken": broken,
    }
    content = formats.sha256(labels) + cache.signature(about)
    return Entry(images, labels, content, about)
