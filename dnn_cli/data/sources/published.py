"""Known datasets in the form in which their authors publish them: files that are verified, and converted when read."""

import bz2
import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dnn_cli.data import cache, class_names, formats
from dnn_cli.data.cache import Entry
from dnn_cli.data.known_sets import KnownDataset, Published
from dnn_cli.data.locations import idx_name
from dnn_cli.data.reading import Part, Reading
from dnn_cli.data.sources.source import Arrays, add
from dnn_cli.errors import DataError, reason
from dnn_cli.files import open_archive
from dnn_cli.typing import Array

MAX_FILE_BYTES = 2**30  # Largest published file; EMNIST's archive has 0.56 GB.
MAX_TEXT_BYTES = 2**28  # Largest text that a compressed file may become.
MAX_MEMBER_BYTES = 2**28  # Largest file in an archive.


class PublishedFiles:
    """A known dataset in its published files.

    Args:
        known: the dataset.
        published: its files.
        path: the folder that holds them.
        reading: the settings.
    """

    kind = "published files"
    has_pictures = False

    def __init__(self, known: KnownDataset, published: Published, path: Path, reading: Reading) -> None:
        self.path, self._known, self._published, self._reading = path, known, published, reading
        self.remarks: list[str] = []
        self.warnings: list[str] = []

    def parts(self) -> Sequence[Part]:
        """See `Source`."""
        return ("train", "test")

    def is_pool(self) -> bool:
        """See `Source`."""
        return False

    def class_names(self) -> tuple[str, ...] | None:
        """See `Source`."""
        return class_names.given(self._reading, self._known.class_names, self.path)

    def read(self, part: Part) -> Arrays:
        """See `Source`."""
        files = {name: self.path / name for name in _files_of(self._published, part)}
        try:
            stats = {name: file.stat() for name, file in files.items()}
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {reason(error)}") from None
        settings = cache.signature("published", self._known.stem, part)
        state = [[str(files[name]), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for name, stat in stats.items()]
        newest = max(stat.st_ctime for stat in stats.values())
        known_by = cache.signature(settings, state)
        entry = cache.cached(
            known_by, settings, newest, lambda: self._convert(part), lambda text: add(self.warnings, text)
        )
        return entry.images, entry.labels

    def _warn(self, warning: str) -> None:
        add(self.warnings, warning)

    def _convert(self, part: Part) -> Entry:
        """Verify the files of a part, and convert them."""
        for name in _files_of(self._published, part):
            check_file(self._known, self._published, self.path / name, name)
        images, labels = _CONVERSIONS[self._published.form](self.path, self._published, part)
        place = str(self.path)
        images = formats.as_images(np.ascontiguousarray(images), place)
        labels = formats.as_labels(labels.astype(np.int64) - self._published.first_label, place)
        if len(images) != len(labels):
            raise DataError(f"{place}: {len(images):,} images, but {len(labels):,} labels")
        return Entry(images, labels, formats.sha256(images, labels), {})


def check_file(known: KnownDataset, published: Published, file: Path, name: str) -> None:
    """Raise `DataError` if a file is not the published one."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise DataError(f"{file}: larger than the limit of {MAX_FILE_BYTES:,} bytes")
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {reason(error)}") from None
    if found != (wanted := published.files[name]):
        raise DataError(f"{file}: differs from {known.title} (MD5 {found}, expected MD5 {wanted})")


def _files_of(published: Published, part: Part) -> list[str]:
    """Return the names of the files that hold a part."""
    if published.form == "emnist":
        return list(published.files)
    if published.form == "libsvm":
        return [name for name in published.files if (".t." in name) == (part == "test")]
    return [f"{idx_name(f'{axis}_{part}')}.gz" for axis in "xy"]


def _from_idx(folder: Path, published: Published, part: Part) -> tuple[Array, Array]:
    images, labels = (formats.read_idx(folder / name) for name in _files_of(published, part))
    return images, labels


def _from_emnist(folder: Path, published: Published, part: Part) -> tuple[Array, Array]:
    """Read two files of the archive; the images are published with rows and columns exchanged."""
    (name,) = published.files
    arrays = []
    for kind in ("images-idx3", "labels-idx1"):
        member = f"gzip/emnist-{published.subset}-{part}-{kind}-ubyte.gz"
        place = f"{folder / name}: {member}"
        try:
            with open_archive(folder / name) as archive:
                if archive.getinfo(member).file_size > MAX_MEMBER_BYTES:
                    raise DataError(f"{place}: larger than the limit of {MAX_MEMBER_BYTES:,} bytes")
                content = archive.read(member)
        except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
            raise DataError(f"{place}: damaged or unreadable: {reason(error)}") from None
        arrays.append(formats.read_idx_stream(io.BytesIO(content), place))
    return arrays[0].transpose(0, 2, 1), arrays[1]


def _from_libsvm(folder: Path, published: Published, part: Part) -> tuple[Array, Array]:
    """Read lines ``LABEL 1:VALUE 2:VALUE …`` with values from -1, black, to 1, white; a missing value is 0."""
    (name,) = _files_of(published, part)
    file = folder / name
    try:
        with bz2.open(file, "rt", encoding="ascii") as stream:
            text = stream.read(MAX_TEXT_BYTES)
        rows = [line.split() for line in text.splitlines() if line.strip()]
        values = np.zeros((len(rows), 256))
        for number, row in enumerate(rows):
            for pair in row[1:]:
                place, _, value = pair.partition(":")
                values[number, int(place) - 1] = float(value)
        labels = np.array([int(float(row[0])) for row in rows])
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise DataError(f"{file}: damaged or unreadable: {reason(error)}") from None
    images: Array = np.rint((values + 1) * 127.5).clip(0, 255).astype(np.uint8)
    return images.reshape(-1, 16, 16), labels


_CONVERSIONS = {"idx": _from_idx, "emnist": _from_emnist, "libsvm": _from_libsvm}
