"""The four arrays of a known dataset, in an ``.npz`` file or in IDX files, and users' own IDX files."""

from collections.abc import Sequence
from pathlib import Path

from dnn_cli.data import class_names, formats
from dnn_cli.data.known_sets import KNOWN_DATASETS, MAX_ARRAY_BYTES
from dnn_cli.data.locations import ARRAY_NAMES, idx_file, idx_name
from dnn_cli.data.reading import Part, Reading
from dnn_cli.data.sources.source import Arrays
from dnn_cli.errors import DataError
from dnn_cli.typing import Array


class FourArrays:
    """Arrays that are named as in Keras's own ``mnist.npz``; those of a known dataset are compared with its digests.

    Args:
        name: the name of a known dataset, or the path of a user's own IDX files.
        path: the ``.npz`` file, or the folder of IDX files.
        reading: the settings.
    """

    kind = "IDX files"
    has_pictures = False

    def __init__(self, name: str, path: Path, reading: Reading) -> None:
        self.name, self.path, self._reading = name, path, reading
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
        known = KNOWN_DATASETS.get(self.name)
        return class_names.given(self._reading, known.class_names if known else None, self.path)

    def read(self, part: Part) -> Arrays:
        """See `Source`."""
        images, labels = (self.read_array(f"{axis}_{part}") for axis in "xy")
        if len(images) != len(labels):
            raise DataError(
                f"{self.path}: x_{part} has {len(images):,} images, but y_{part} has {len(labels):,} labels"
            )
        return images, labels

    def read_array(self, array_name: str) -> Array:
        """Read and check one array."""
        if not self.path.is_dir():
            found = formats.read_npz(self.path, array_name, self._max_bytes)
            return self._checked(array_name, found, f"{self.path}: {array_name}")
        file = idx_file(self.path, array_name)
        if file is None:
            raise DataError(f"{self.path}: no file {idx_name(array_name)} or {idx_name(array_name)}.gz in this folder")
        return self._checked(array_name, formats.read_idx(file, self._max_bytes), str(file))

    def check_idx_file(self, file: Path, name: str) -> None:
        """Raise `DataError` unless `file` holds the array that an IDX file of this name has to hold."""
        array_name = next(array_name for array_name in ARRAY_NAMES if name.startswith(idx_name(array_name)))
        self._checked(array_name, formats.read_idx(file, self._max_bytes), str(file))

    @property
    def _max_bytes(self) -> int:
        """The largest size of an array: that of the published ones, whatever a host sends, or that of any array."""
        return MAX_ARRAY_BYTES if self.name in KNOWN_DATASETS else formats.MAX_BYTES

    def _checked(self, array_name: str, array: Array, place: str) -> Array:
        """Return `array` in the form that `Split` describes.

        Raises:
            DataError: it does not have that form, or differs from the published array; the message begins with `place`.
        """
        array = formats.as_images(array, place) if array_name.startswith("x") else formats.as_labels(array, place)
        if known := KNOWN_DATASETS.get(self.name):
            found, published = formats.idx_md5(array), known.digests[array_name]
            if found != published:
                wrong = f"MD5 {found}" if found else "values are not bytes"
                raise DataError(f"{place}: differs from {known.title} ({wrong}, expected MD5 {published})")
        return array
