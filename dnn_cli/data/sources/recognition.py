"""Find out what a path holds, by looking: the source for it."""

from pathlib import Path

from dnn_cli.data.known_sets import KNOWN_DATASETS
from dnn_cli.data.locations import holds_idx_files
from dnn_cli.data.reading import Reading
from dnn_cli.data.sources import arrays, csv_table, parquet
from dnn_cli.data.sources.arrays import ArraySource
from dnn_cli.data.sources.class_folders import ClassFolders
from dnn_cli.data.sources.csv_table import CsvSource
from dnn_cli.data.sources.four_arrays import FourArrays
from dnn_cli.data.sources.parquet import ParquetSource
from dnn_cli.data.sources.published import PublishedFiles
from dnn_cli.data.sources.source import Source
from dnn_cli.errors import DataError, reason

FORMS = "a folder of class folders with pictures, a CSV, Parquet, .npz or .npy file, or a folder of IDX or .npy files"


def source(name: str, path: Path, reading: Reading) -> Source:
    """Return the source for a dataset; only names of files, and their first bytes, are read.

    Args:
        name: a known name, or the path of a user's own data.
        path: the file or folder.
        reading: the settings.

    Raises:
        DataError: nothing is recognized.
    """
    try:
        known = KNOWN_DATASETS.get(name)
        if known and known.published:
            return PublishedFiles(known, known.published, path, reading)
        if known or holds_idx_files(path):
            return FourArrays(name, path, reading)
        return _folder(path, reading) if path.is_dir() else _file(path, reading)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None


def _file(path: Path, reading: Reading) -> Source:
    if path.name.lower().endswith(csv_table.SUFFIXES):
        return CsvSource(path, reading)
    if path.suffix.lower() == parquet.SUFFIX:
        return ParquetSource(path, reading)
    return ArraySource(path, reading)


def _folder(path: Path, reading: Reading) -> Source:
    entries = list(path.iterdir())
    if arrays.holds_arrays([entry.name for entry in entries]):
        return ArraySource(path, reading)
    if csv_table.holds_tables([entry.name for entry in entries]):
        return CsvSource(path, reading)
    if parquet.parquet_files(path):
        return ParquetSource(path, reading)
    if any(entry.is_dir() and not entry.name.startswith(".") for entry in entries):
        return ClassFolders(path, reading)
    raise DataError(f"{path}: nothing in this folder is known; a dataset is {FORMS}")
