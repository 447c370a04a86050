"""Arrays as they are found: an ``.npz`` file, or ``.npy`` files in a folder, with any names and in usual forms."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import get_args

from dnn_cli.data import class_names, formats
from dnn_cli.data.reading import Part, Reading
from dnn_cli.data.sources import array_values
from dnn_cli.data.sources.source import Arrays, add
from dnn_cli.errors import DataError
from dnn_cli.typing import Array

IMAGE_WORDS = {"x", "image", "images", "img", "imgs", "data", "pixels", "features"}
LABEL_WORDS = {"y", "label", "labels", "target", "targets"}
PART_WORDS: dict[Part, set[str]] = {
    "train": {"train", "training"},
    "validation": {"val", "valid", "validation"},
    "test": {"test", "testing"},
}
POSITIONAL = {"arr_0": "x_train", "arr_1": "y_train"}  # the names that `numpy.savez` gives
OWN_FORM = {"x_train", "y_train"}  # with these names, nothing is held out for a test


class ArraySource:
    """One or several arrays of images, each with an array of labels.

    Args:
        path: an ``.npz`` file, an ``.npy`` file of images beside one of labels, or a folder of ``.npy`` files.
        reading: the settings.
    """

    kind = "arrays"
    has_pictures = False

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path, self._reading = path, reading
        self.remarks: list[str] = []
        self.warnings: list[str] = []

    def parts(self) -> Sequence[Part]:
        """See `Source`."""
        return [part for part in get_args(Part) if f"x_{part}" in self._keys or f"y_{part}" in self._keys]

    def is_pool(self) -> bool:
        """See `Source`."""
        return "test" not in self.parts() and not (OWN_FORM & set(self._names) and not self._reading.keys)

    def class_names(self) -> tuple[str, ...] | None:
        """See `Source`."""
        return class_names.given(self._reading, self._stored_names, self.path)

    def read(self, part: Part) -> Arrays:
        """See `Source`."""
        key = self._key(f"x_{part}")
        images = array_values.to_images(self._array(key), self._place(key), self._reading, self._remark)
        labels = self._labels(part)
        if len(images) != len(labels):
            names = key, self._key(f"y_{part}")
            raise DataError(
                f"{self.path}: {names[0]} has {len(images):,} images, but {names[1]} has {len(labels):,} labels"
            )
        return images, labels

    def _labels(self, part: Part) -> Array:
        key = self._key(f"y_{part}")
        array = self._array(key)
        found = array_values.to_names(array, self._place(key))
        if found is None:
            return array_values.to_numbers(array, self._place(key), self._remark)
        self._remark(f"{self._place(key)}: the labels are strings, which name the classes")
        return class_names.to_labels(found, self._stored_names or (), self._reading, self._place(key))

    @cached_property
    def _stored_names(self) -> tuple[str, ...] | None:
        """The classes of the training part, if its labels are strings."""
        key = self._keys.get("y_train") or next((key for role, key in self._keys.items() if role[0] == "y"), None)
        found = array_values.to_names(self._array(key), self._place(key)) if key else None
        return None if found is None else class_names.in_order(found)

    @cached_property
    def _names(self) -> list[str]:
        """The names of all arrays."""
        if self.path.is_dir():
            return sorted(file.stem for file in self.path.glob("*.npy"))
        if self.path.suffix.lower() == ".npy":
            return sorted(file.stem for file in self.path.parent.glob("*.npy"))
        return formats.npz_names(self.path)

    @cached_property
    def _keys(self) -> dict[str, str]:
        """The role of an array, such as ``x_train`` → its name."""
        chosen = dict(self._reading.keys)
        if missing := [name for name in chosen.values() if name not in self._names]:
            raise DataError(
                f"{self.path}: data.keys: there is no array {class_names.listed(missing)} "
                f"(found: {class_names.listed(self._names) or 'nothing'})"
            )
        found = chosen or self._recognized()
        if not found.keys() <= set(self._names) and not chosen:
            pairs = ", ".join(f"{name} is {role}" for role, name in found.items())
            self._remark(f"{self.path}: {pairs}")
        return found

    def _recognized(self) -> dict[str, str]:
        """Return the roles of arrays with usual names; raises `DataError` if two arrays could have the same role."""
        if set(self._names) == POSITIONAL.keys():
            return {role: name for name, role in POSITIONAL.items()}
        found: dict[str, str] = {}
        for name in self._names:
            role = name if name in OWN_FORM else _role(name)
            if role is None or found.get(role) == role:
                continue
            if role in found and name != role:
                raise DataError(
                    f"{self.path}: both {found[role]} and {name} can be {role}; "
                    f"set data.keys: {{{role}: {found[role]}, …}} or data.keys: {{{role}: {name}, …}}"
                )
            found[role] = name
        return found

    def _key(self, role: str) -> str:
        if role not in self._keys:
            names = class_names.listed(self._names) or "nothing"
            if self._reading.keys:
                raise DataError(f"{self.path}: data.keys does not name the array {role} (found: {names})")
            raise DataError(
                f"{self.path}: there is no array {role} in this file (found: {names}); if one of them holds it, "
                f"set data.keys: {{{role}: NAME, …}}"
            )
        return self._keys[role]

    def _array(self, key: str) -> Array:
        limit = min(self._reading.memory, formats.MAX_BYTES)
        try:
            if self.path.suffix.lower() == ".npy" or self.path.is_dir():
                return formats.read_npy(self._folder / f"{key}.npy", limit)
            return formats.read_npz(self.path, key, limit)
        except formats.TooLargeError as error:
            raise DataError(f"{error}; see data.max_bytes") from None

    @property
    def _folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    def _place(self, key: str) -> str:
        return f"{self.path}: {key}"

    def _remark(self, sentence: str) -> None:
        add(self.remarks, sentence)


def _role(name: str) -> str | None:
    """Return what the name of an array says: ``test_images`` is ``x_test``, ``labels`` is ``y_train``."""
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[xy])(?=train|test|val)", "_", name.lower())))
    axis = [axis for axis, known in (("x", IMAGE_WORDS), ("y", LABEL_WORDS)) if words & known]
    parts = [part for part, known in PART_WORDS.items() if words & known]
    rest = words - IMAGE_WORDS - LABEL_WORDS - set().union(*PART_WORDS.values())
    if len(axis) != 1 or len(parts) > 1 or rest:
        return None
    return f"{axis[0]}_{parts[0] if parts else 'train'}"


def holds_arrays(names: Iterable[str]) -> bool:
    """Return whether some of these files are ``.npy`` files of images or labels."""
    return any(_role(name.removesuffix(".npy")) for name in names if name.endswith(".npy"))
