"""The places where datasets are stored on this machine, and the file names in them.

Environment variables:
    DNN_DATA_DIR: the folder that is searched first, for ``mnist.npz``, ``mnist/`` or IDX files.
    KERAS_HOME: Keras's folder, ``~/.keras`` by default. Its ``datasets`` folder is searched next; downloads go there.
"""

import difflib
import os
from pathlib import Path

from dnn_cli.data.known_sets import KNOWN_DATASETS, KnownDataset, Published
from dnn_cli.errors import DataError, UsageError, reason

ARRAY_NAMES = ("x_train", "y_train", "x_test", "y_test")  # as in Keras's own mnist.npz
SHIPPED = Path(__file__).parent / "shipped"


def search_places(known: KnownDataset) -> list[Path]:
    """Return the files and folders that may hold a known dataset, in the order in which they are searched.

    Raises:
        UsageError: ``DNN_DATA_DIR`` is set and is not a folder.
    """
    if known.is_shipped:
        return [SHIPPED / f"{known.stem}.npz"]
    own = os.environ.get("DNN_DATA_DIR")
    if own and not Path(own).expanduser().is_dir():
        raise UsageError(f"DNN_DATA_DIR is {own}, which is not a folder; correct or unset it")
    if known.published:
        folders = [Path(own, known.published.folder), Path(own)] if own else []
        return [folder.expanduser().absolute() for folder in folders] + [published_folder(known.published)]
    places = [Path(own, f"{known.stem}.npz"), Path(own, known.stem), Path(own)] if own else []
    return [place.expanduser().absolute() for place in places] + cache_places(known)


def cache_places(known: KnownDataset) -> list[Path]:
    """Return the ``.npz`` file and the folder of IDX files of a known dataset in Keras's cache."""
    home = os.environ.get("KERAS_HOME") or Path("~", ".keras")
    cache = Path(home).expanduser().absolute() / "datasets"
    return [cache / f"{known.stem}.npz", cache / known.stem]


def published_folder(published: Published) -> Path:
    """Return the folder in Keras's cache for the published files of a known dataset."""
    home = os.environ.get("KERAS_HOME") or Path("~", ".keras")
    return Path(home).expanduser().absolute() / "datasets" / published.folder


def holds(known: KnownDataset, path: Path) -> bool:
    """Return whether the files of a known dataset are at `path`; they are not read."""
    if known.published:
        return all((path / name).is_file() for name in known.published.files)
    return path.is_file() or holds_idx_files(path)


def user_place(name: str) -> Path:
    """Return the absolute path of a user's own data.

    Raises:
        DataError: there is no such file or folder.
    """
    try:
        path = Path(name).expanduser().resolve()
        if path.is_file() or path.is_dir():
            return path
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{name!r} cannot be read: {reason(error)}") from None
    close = difflib.get_close_matches(name.lower(), KNOWN_DATASETS, 1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    raise DataError(
        f"there is no dataset {name!r}{hint}; known: {', '.join(KNOWN_DATASETS)}, or the path of a file or folder"
    )


def idx_name(array_name: str) -> str:
    """Return the name of an array's IDX file as MNIST's authors chose it: ``train-images-idx3-ubyte``."""
    subset = "train" if array_name.endswith("train") else "t10k"
    return f"{subset}-images-idx3-ubyte" if array_name.startswith("x") else f"{subset}-labels-idx1-ubyte"


def idx_file(folder: Path, array_name: str) -> Path | None:
    """Return the IDX file of an array in `folder`, with any of the usual spellings of its name, or None."""
    names = (idx_name(array_name), idx_name(array_name).replace("-idx", ".idx"))
    files = (folder / f"{name}{suffix}" for name in names for suffix in ("", ".gz"))
    return next((file for file in files if file.is_file()), None)


def holds_idx_files(folder: Path) -> bool:
    """Return whether `folder` holds the IDX file of at least one array."""
    return any(idx_file(folder, array_name) for array_name in ARRAY_NAMES)
