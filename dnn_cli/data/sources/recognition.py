"""Find out what a path holds, by looking: the source for it."""

from pathlib import Path

from dnn_cli.data.known_sets import KNOWN_DATASETS
from dnn_cli.data.locations import holds_idx_files
from dnn_cli.data.reading import Reading
from dnn_cli.data.sources import arrays
from dnn_cli.data.sources.arrays import ArraySource
from dnn_cli.data.sources.four_arrays import FourArrays
from dnn_cli.data.sources.source import Source
from dnn_cli.errors import DataError, reason

FORMS = "an .npz or .npy file, or a folder of IDX or .npy files"


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
        if name in KNOWN_DATASETS or holds_idx_files(path):
            return FourArrays(name, path, reading)
        return _folder(path, reading) if path.is_dir() else _file(path, reading)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None


def _file(path: Path, reading: Reading) -> Source:
    return ArraySource(path, reading)


def _folder(path: Path, reading: Reading) -> Source:
    names = [entry.name for entry in path.iterdir()]
    if arrays.holds_arrays(names):
        return ArraySource(path, reading)
    raise DataError(f"{path}: nothing in this folder is known; a dataset is {FORMS}")
