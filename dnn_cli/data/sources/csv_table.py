"""CSV files: an image a row, as in Kaggle's digit recognizer (``label,pixel0,…``), or a list (``path,label``)."""

import os
from collections.abc import Collection, Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from dnn_cli.data import cache as disk
from dnn_cli.data import class_names, formats
from dnn_cli.data.cache import Entry
from dnn_cli.data.decoding import Picture
from dnn_cli.data.reading import Part, Reading
from dnn_cli.data.sources import picture_list
from dnn_cli.data.sources.class_folders import PART_NAMES
from dnn_cli.data.sources.csv_rows import Header, read_header, read_list, read_pixels
from dnn_cli.data.sources.picture_list import PictureList, Pictures
from dnn_cli.data.sources.source import Arrays, add
from dnn_cli.errors import DataError

SUFFIXES = (".csv", ".csv.gz")


class CsvSource:
    """A CSV file, or a folder with ``train.csv`` and maybe ``test.csv`` and ``val.csv`` that have labels too.

    Args:
        path: the file or the folder.
        reading: the settings.
    """

    kind = "CSV"

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path, self._reading = path, reading
        self.remarks: list[str] = []
        self.warnings: list[str] = []
        self.pictures = cache(self._pictures)
        self._entry = cache(self._parsed)

    @cached_property
    def has_pictures(self) -> bool:
        """Whether the rows hold paths of pictures."""
        return self._header("train").path is not None

    def parts(self) -> Sequence[Part]:
        """See `Source`."""
        return list(self._files)

    def is_pool(self) -> bool:
        """See `Source`."""
        return "test" not in self._files

    def class_names(self) -> tuple[str, ...] | None:
        """See `Source`."""
        return class_names.given(self._reading, self._stored_names, self.path)

    def read(self, part: Part) -> Arrays:
        """See `Source`."""
        if self._header(part).path is not None:
            found = self.pictures(part)
            return found.images, found.labels
        entry = self._entry(part)
        names: list[str] | None = entry.about["names"]
        if names is None:
            return entry.images, entry.labels
        found_names = [names[label] for label in entry.labels.tolist()]
        place = self._file(part)
        return entry.images, class_names.to_labels(found_names, self._stored_names or (), self._reading, place)

    def _parsed(self, part: Part) -> Entry:
        """Return the pixels of a part, from the cache if they are there."""
        file = self._file(part)
        stat = file.stat()
        settings = disk.signature("csv", self._reading.image_shape)
        known_by = disk.signature(settings, str(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        entry = disk.cached(known_by, settings, stat.st_ctime, lambda: self._parse(part), self._warn)
        self._reading.check_memory(file, len(entry.images), entry.images.shape[1:])
        return entry

    def _parse(self, part: Part) -> Entry:
        """Read images and labels; labels that are not numbers become places in a list of names."""
        file, header = self._file(part), self._header(part)
        images, texts = read_pixels(file, header, self._reading)
        names = None if _are_numbers(texts) else list(class_names.in_order(texts))
        places = {name: place for place, name in enumerate(names or ())}
        numbers = np.array([places[text] if names else int(text) for text in texts])
        labels = formats.as_labels(numbers, f"{file}: label")
        return Entry(images, labels, formats.sha256(images, labels), {"names": names})

    def _pictures(self, part: Part) -> Pictures:
        """Return the pictures of a list, decoded."""
        file = self._file(part)
        rows = read_list(file, self._header(part), self._reading)
        folder = file.parent.resolve()
        paths = [_resolved(folder, path, f"{file}, line {line}", self._reading) for line, path, _ in rows]
        texts = [label for _, _, label in rows]
        numbered = self._stored_names is None
        labels = (
            formats.as_labels(np.array([int(text) for text in texts]), f"{file}: label")
            if numbered
            else class_names.to_labels(texts, self._stored_names or (), self._reading, file)
        )
        stats = [os.stat(path) for path in paths]  # noqa: PTH116 - a `Path` for each file takes time
        listed = PictureList(
            place=str(file),
            state=[paths, [(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for stat in stats]],
            newest=max(stat.st_ctime for stat in stats),
            pictures=lambda: [
                Picture(row[1], path, stat.st_size) for row, path, stat in zip(rows, paths, stats, strict=True)
            ],
            labels=labels,
        )
        return picture_list.read(listed, self._reading, self._warn)

    @cached_property
    def _stored_names(self) -> tuple[str, ...] | None:
        """The classes of the training part; None if its labels are numbers."""
        part: Part = "train" if "train" in self._files else next(iter(self._files))
        header, file = self._header(part), self._file(part)
        if header.path is None:
            names: list[str] | None = self._entry(part).about["names"]
            return tuple(names) if names else None
        texts = {label for _, _, label in read_list(file, header, self._reading)}
        return None if _are_numbers(texts) else class_names.in_order(list(texts))

    @cached_property
    def _files(self) -> dict[Part, Path]:
        """The file of each part. A test part without labels, such as Kaggle's, is for `dnn predict`."""
        if self.path.is_file():
            return {"train": self.path}
        found: dict[Part, Path] = {}
        for part, names in PART_NAMES.items():
            files = [self.path / f"{name}{suffix}" for name in names for suffix in SUFFIXES]
            file = next((file for file in files if file.is_file()), None)
            if file is None:
                continue
            if part != "train" and read_header(file).label is None:
                add(self.remarks, f"{file}: has no labels, so it is no {part} part")
            else:
                found[part] = file
        return found

    def _file(self, part: Part) -> Path:
        if part not in self._files:
            raise DataError(f"{self.path}: there is no {part} part")
        return self._files[part]

    def _header(self, part: Part) -> Header:
        header = read_header(self._file(part))
        if header.label is None:
            raise DataError(
                f"{self._file(part)}: there is no column label, so there is nothing to train on or to compare with"
            )
        return header

    def _warn(self, warning: str) -> None:
        add(self.warnings, warning)


def holds_tables(names: Sequence[str]) -> bool:
    """Return whether a folder with these files is a dataset of CSV files."""
    return any(f"{name}{suffix}" in names for name in PART_NAMES["train"] for suffix in SUFFIXES)


def _resolved(folder: Path, path: str, place: str, reading: Reading) -> str:
    """Return the path of a picture; raises `DataError` if it is missing, or leads out of the folder of the list."""
    if "\0" in path or not path.strip():
        raise DataError(f"{place}: {path!r} is no path")
    found = folder / path
    if not reading.follow_links:
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise DataError(f"{place}: {path} leads out of {folder}; data.follow_links: true allows it")
        if os.path.realpath(found) != os.path.normpath(found):
            raise DataError(f"{place}: {path} is a symbolic link; data.follow_links: true follows it")
    if not found.is_file():
        raise DataError(f"{place}: there is no file {found}")
    return str(found)


def _are_numbers(texts: Collection[str]) -> bool:
    return all(text.isascii() and text.strip().isdecimal() and len(text) < 10 for text in texts)
