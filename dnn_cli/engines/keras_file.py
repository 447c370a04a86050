"""The layout of `.keras` files: check, describe and write them without TensorFlow.

A `.keras` file is a zip archive of three members: the network's description in JSON, metadata in JSON, and an HDF5 file
with every number of the network and its optimizer.
"""

import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnn_cli.errors import RunError, UsageError, reason
from dnn_cli.files import open_archive

if TYPE_CHECKING:
    import h5py

    from dnn_cli.typing import Array

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"  # the members of the archive
ITERATIONS, LEARNING_RATE = "optimizer/vars/0", "optimizer/vars/1"  # datasets of WEIGHTS
CLASS_NAMES = "class_names"  # a key in METADATA, which Keras does not read when it loads a network
FIRST_SLOT = 2  # optimizer/vars/2 and the following datasets hold the optimizer's state for each parameter

MAX_FILE_BYTES = 8 * 2**30
MAX_DESCRIPTION_BYTES = 2**22
MAX_MEMBERS = 1000  # Keras writes assets of some layers as further members
MAX_OBJECTS = 20_000  # groups and datasets of WEIGHTS
MAX_DEPTH = 32  # of groups inside each other
MAX_EXPANSION = 16  # Keras compresses nothing, and trained weights can hardly be compressed
UNCOUNTED_BYTES = 2**20  # a small file may expand to this size in any case


def layer_group(kind: str, number: int) -> str:
    """Return the HDF5 group of the layer `number`, from 0, among the layers of the same `kind`: ``layers/dense_1``."""
    return f"layers/{kind}_{number}" if number else f"layers/{kind}"


def variable(group: str, number: int) -> str:
    """Return the HDF5 dataset of a variable in a layer's group or in ``optimizer``: ``layers/dense_1/vars/0``."""
    return f"{group}/vars/{number}"


def weights_size(path: Path) -> int:
    """Return the size of the HDF5 file in a `.keras` file that `check_file` accepted."""
    with _archive(path) as archive:
        return archive.getinfo(WEIGHTS).file_size


def check_file(path: Path) -> None:
    """Check that `path` is a complete `.keras` archive of bounded size.

    Raises:
        UsageError: there is no such file.
        RunError: the file is damaged, too large or not a `.keras` file.
    """
    with _damage_as_run_error(path), _archive(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise RunError(f"{path} is damaged: {damaged} in it does not match its checksum")


def description(path: Path) -> Any:
    """Return Keras's JSON description of the network in a file that `check_file` accepted.

    Raises:
        ValueError: the description is not JSON, or longer than `MAX_DESCRIPTION_BYTES`.
    """
    with _archive(path) as archive, archive.open(CONFIG) as member:
        return json.loads(member.read(MAX_DESCRIPTION_BYTES))


def class_names(path: Path) -> tuple[str, ...] | None:
    """Return the names of the classes in a file, which Keras ignores; None if it has none or is damaged."""
    try:
        with open_archive(path) as archive, archive.open(METADATA) as member:
            found = json.loads(member.read(MAX_DESCRIPTION_BYTES)).get(CLASS_NAMES)
    except (OSError, EOFError, ValueError, KeyError, AttributeError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
    is_valid = isinstance(found, list) and found and all(isinstance(name, str) for name in found)
    return tuple(found) if is_valid else None


def names_as_metadata(names: Sequence[str] | None) -> dict[str, Any]:
    """Return the entry for `metadata` in `write` that `class_names` reads; empty without names."""
    return {CLASS_NAMES: list(names)} if names else {}


@contextmanager
def open_weights(path: Path) -> Iterator["h5py.File"]:
    """Open the HDF5 file of a `.keras` file, in which every dataset is numeric, internal and of bounded size.

    Raises:
        UsageError: there is no such file.
        RunError: the file is damaged, or its HDF5 file holds something else, such as a link to another file.
    """
    import h5py

    with _damage_as_run_error(path), _archive(path) as archive:
        content = io.BytesIO(archive.read(WEIGHTS))
    with ExitStack() as stack:
        try:
            file = stack.enter_context(h5py.File(content, "r"))
            _check_group(file, "", Counter())
        except RunError as error:
            raise RunError(f"{path} is not accepted: {error}") from None
        except Exception as error:  # h5py raises exceptions of many kinds for a damaged file
            raise RunError(f"{path} is damaged: {WEIGHTS} in it cannot be read: {reason(error)}") from None
        yield file


def arrays(path: Path) -> dict[str, "Array"]:
    """Return every array in a file, weights and the optimizer's, by its place: ``layers/dense/vars/0``.

    Raises:
        RunError: the file is damaged; see `open_weights`.
    """
    import h5py

    found: dict[str, Array] = {}

    def add(name: str, item: "h5py.Group | h5py.Dataset") -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with open_weights(path) as file:
        file.visititems(add)
    return found


def _check_group(group: "h5py.Group", place: str, totals: Counter[str]) -> None:
    """Check all that a group of WEIGHTS contains; raises `RunError` if it is no tree of plain datasets."""
    import h5py

    if place.count("/") > MAX_DEPTH:
        raise RunError(f"its groups are nested more than {MAX_DEPTH} deep")
    for name in group:
        inner = f"{place}/{name}"
        totals["objects"] += 1
        if totals["objects"] > MAX_OBJECTS:
            raise RunError(f"it has more than {MAX_OBJECTS:,} groups and datasets")
        if type(group.get(name, getlink=True)) is not h5py.HardLink:
            raise RunError(f"{inner[1:]} is a link")
        found = group[name]
        if isinstance(found, h5py.Group):
            _check_group(found, inner, totals)
        else:
            _check_dataset(found, inner[1:])


def _check_dataset(dataset: Any, place: str) -> None:
    """Check that an object of WEIGHTS is a dataset of numbers that are stored in the file itself."""
    from h5py import Dataset, h5d

    if not isinstance(dataset, Dataset) or dataset.shape is None or dataset.dtype.kind not in "biuf":
        raise RunError(f"{place} holds no numbers")
    layout = dataset.id.get_create_plist().get_layout()
    if dataset.external or layout not in (h5d.CONTIGUOUS, h5d.CHUNKED, h5d.COMPACT):
        raise RunError(f"{place} is stored outside of the file")
    chunk = prod(dataset.chunks or ()) * dataset.dtype.itemsize  # a chunk may be larger than the dataset
    if max(dataset.nbytes, chunk) > max(UNCOUNTED_BYTES, MAX_EXPANSION * dataset.id.get_storage_size()):
        raise RunError(f"{place} claims to be much larger than what is stored")


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a `.keras` file; raises `RunError` if it is another archive, or expands to much more than its size."""
    with open_archive(path) as archive:
        members = {member.filename: member.file_size for member in archive.infolist()}
        if not {CONFIG, METADATA, WEIGHTS} <= members.keys():
            raise RunError(f"{path} is not a Keras model: it is an archive of other files")
        if len(archive.infolist()) > MAX_MEMBERS:
            raise RunError(f"{path} is not a Keras model: it is an archive of more than {MAX_MEMBERS:,} files")
        if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in archive.infolist()):
            raise RunError(f"{path} is not accepted: it is compressed in another way than usual")
        size, stored = sum(member.file_size for member in archive.infolist()), path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise RunError(f"{path} is larger than the {MAX_FILE_BYTES / 2**30:.0f} GiB allowed")
        if size > max(UNCOUNTED_BYTES, MAX_EXPANSION * stored):
            raise RunError(f"{path} is not accepted: its {stored:,} bytes expand to {size:,}")
        yield archive


@contextmanager
def _damage_as_run_error(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except MemoryError:
        raise RunError(f"there is not enough memory to read {path}") from None
    except (OSError, EOFError, ValueError, RuntimeError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise RunError(f"{path} is damaged or not a Keras model: {reason(error)}") from None


def write(path: Path, metadata: Mapping[str, Any], config: str | bytes, weights: bytes | memoryview) -> None:
    """Write a `.keras` file.

    Args:
        path: the file.
        metadata: what Keras stores of itself, for example its version; the current time is added as ``date_saved``.
        config: the network's description, JSON.
        weights: the content of the HDF5 file.
    """
    about = json.dumps({**metadata, "date_saved": datetime.now().strftime("%Y-%m-%d@%H:%M:%S")})
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in ((METADATA, about), (CONFIG, config), (WEIGHTS, weights)):
            archive.writestr(name, content)
