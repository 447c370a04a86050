"""Parquet files as public hubs keep image sets: a column of encoded pictures and one of labels, maybe in shards."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dnn_cli.data import class_names, formats
from dnn_cli.data.decoding import Picture
from dnn_cli.data.reading import Part, Reading
from dnn_cli.data.sources import picture_list
from dnn_cli.data.sources.class_folders import PART_NAMES
from dnn_cli.data.sources.picture_list import PictureList, Pictures
from dnn_cli.data.sources.source import Arrays, add
from dnn_cli.errors import DataError, reason, require_extra
from dnn_cli.typing import Array

SUFFIX = ".parquet"
IMAGE_COLUMNS = ("image", "img", "picture", "png", "jpg")
LABEL_COLUMNS = ("label", "labels", "class", "target", "fine_label")
LABEL_BYTES = 100  # Memory of a label while it is read, at most.
BATCH_ROWS = 500  # Rows that are taken out of a file at a time.
FOLDERS = ("", "data")  # Places of the files within a dataset.


class ParquetSource:
    """A Parquet file, or a folder of files whose names say the part: ``train-00000-of-00002.parquet``.

    Args:
        path: the file or the folder.
        reading: the settings.
    """

    kind = "Parquet"
    has_pictures = True

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path, self._reading = path, reading
        self.remarks: list[str] = []
        self.warnings: list[str] = []
        self.pictures = cache(self._pictures)

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
        found = self.pictures(part)
        return found.images, found.labels

    def _pictures(self, part: Part) -> Pictures:
        """Return the pictures of a part, decoded."""
        if part not in self._files:
            raise DataError(f"{self.path}: there is no {part} part")
        files = self._files[part]
        for file in files:
            _check_memory(file, self._reading.memory)
        stats = [file.stat() for file in files]
        place = str(files[0]) if len(files) == 1 else f"{files[0].parent}: {part}"
        listed = PictureList(
            place=place,
            state=[
                [str(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
                for file, stat in zip(files, stats, strict=True)
            ],
            newest=max(stat.st_ctime for stat in stats),
            pictures=lambda: list(self._encoded(files)),
            labels=self._labels(files),
        )
        return picture_list.read(listed, self._reading, lambda warning: add(self.warnings, warning))

    def _encoded(self, files: Iterable[Path]) -> Iterator[Picture]:
        """Yield the pictures in some files."""
        for file in files:
            image, _ = _columns(file)
            row = 0
            for batch in _batches(file, image):
                for value in batch.to_pylist():
                    content = value.get("bytes") if isinstance(value, dict) else value
                    if not isinstance(content, bytes):
                        raise DataError(f"{file}: row {row} of {image} holds no encoded picture")
                    yield Picture(f"{file.name} row {row}", content, len(content))
                    row += 1

    def _labels(self, files: Sequence[Path]) -> Array:
        stored = self._stored_names
        texts, numbers = _read_labels(files)
        if texts is not None:
            return class_names.to_labels(texts, stored or (), self._reading, files[0])
        assert numbers is not None
        labels = formats.as_labels(numbers, f"{files[0]}: {_columns(files[0])[1]}")
        expected = self._reading.expected_classes
        if stored and expected is not None:
            class_names.check_count(stored, labels, files[0])
            return class_names.to_labels([stored[label] for label in labels.tolist()], stored, self._reading, files[0])
        return labels

    @cached_property
    def _stored_names(self) -> tuple[str, ...] | None:
        """The names in the metadata of the schema, or else those that are the labels; None if these are numbers."""
        files = self._files["train"]
        if names := _names_in_metadata(files[0]):
            return names
        texts, _ = _read_labels(files)
        return None if texts is None else class_names.in_order(texts)

    @cached_property
    def _files(self) -> dict[Part, list[Path]]:
        """The files of each part, in the order of their names."""
        require_extra("parquet", "pyarrow", purpose=f"reading {self.path}")
        if self.path.is_file():
            return {"train": [self.path]}
        files = parquet_files(self.path)
        found: dict[Part, list[Path]] = {}
        for part, names in PART_NAMES.items():
            if chosen := [file for file in files if re.split(r"[^a-z]", file.name.lower())[0] in names]:
                found[part] = sorted(chosen, key=lambda file: class_names.natural_order(file.name))
        if not found:
            found = {"train": sorted(files, key=lambda file: class_names.natural_order(file.name))}
        if "train" not in found:
            raise DataError(f"{self.path}: no file of the training part, such as train-00000-of-00001{SUFFIX}")
        if rest := [file.name for file in files if not any(file in each for each in found.values())]:
            add(self.warnings, f"{self.path}: files of no part, not used: {class_names.listed(sorted(rest))}")
        return found


def parquet_files(folder: Path) -> list[Path]:
    """Return the Parquet files of a dataset, directly in its folder or in the folder ``data`` in it."""
    for inner in FOLDERS:
        if found := [file for file in (folder / inner).glob(f"*{SUFFIX}") if file.is_file()]:
            return found
    return []


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open a Parquet file, and turn what is wrong with it into a `DataError`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            yield opened
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{file}: damaged, or not a Parquet file: {reason(error)}") from None


def _columns(file: Path) -> tuple[str, str]:
    """Return the names of the columns of pictures and of labels; raises `DataError` if there are none."""
    with _opened(file) as opened:
        names: list[str] = opened.schema_arrow.names
    image = next((name for name in IMAGE_COLUMNS if name in names), None)
    label = next((name for name in LABEL_COLUMNS if name in names), None)
    if image is None or label is None:
        raise DataError(
            f"{file}: there must be a column image of encoded pictures and a column label; "
            f"it has {class_names.listed(names) or 'none'}"
        )
    return image, label


def _check_memory(file: Path, limit: int) -> None:
    """Raise `DataError` if the columns of a file take more memory than `limit`; nothing is decompressed to know it."""
    image, label = _columns(file)
    with _opened(file) as opened:
        about = opened.metadata
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        chunks = [group.column(column) for group in groups for column in range(group.num_columns)]
        wanted = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in (image, label)]
        size = sum(chunk.total_uncompressed_size for chunk in wanted) + LABEL_BYTES * about.num_rows
    if size > limit:
        raise DataError(
            f"{file}: the columns need {size:,} bytes of memory, at most {limit:,} are allowed; see data.max_bytes"
        )


def _batches(file: Path, column: str) -> Iterator[Any]:
    """Yield the values of a column in order, a few hundred at a time, as Arrow arrays."""
    with _opened(file) as opened:
        for batch in opened.iter_batches(BATCH_ROWS, columns=[column]):
            yield batch.column(0)


def _read_labels(files: Iterable[Path]) -> tuple[list[str] | None, Array | None]:
    """Return the labels of all files, either strings or numbers."""
    values: list[Any] = []
    for file in files:
        column = _columns(file)[1]
        for batch in _batches(file, column):
            values += batch.to_pylist()
        if None in values:
            raise DataError(f"{file}: row {values.index(None)} of {column} is empty")
        if not values:
            raise DataError(f"{file}: there are no rows")
    if all(isinstance(value, str) for value in values):
        return values, None
    if wrong := next((value for value in values if not isinstance(value, int)), None):
        raise DataError(f"{file}: labels must all be whole numbers, or all be text, got {str(wrong)[:20]}")
    return None, np.array(values)


def _names_in_metadata(file: Path) -> tuple[str, ...] | None:
    """Return the names of the classes in the schema's metadata, as the library ``datasets`` stores them."""
    label = _columns(file)[1]
    with _opened(file) as opened:
        metadata = opened.schema_arrow.metadata or {}
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return None
    is_valid = isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)
    return tuple(names) if is_valid else None
