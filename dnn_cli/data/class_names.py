"""Names of classes: their order, the names that a config gives, and matching by name."""

import re
from collections.abc import Sequence

import numpy as np

from dnn_cli.data.reading import Reading
from dnn_cli.errors import DataError
from dnn_cli.typing import Array

SHOWN = 8  # Names that a message lists before it only counts the others.


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts ``2.png`` before ``10.png``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Return different names sorted as people sort: ``2`` before ``10``, capital letters among the small ones."""
    return tuple(sorted(set(names), key=lambda name: (natural_order(name.casefold()), name)))


def listed(names: Sequence[object]) -> str:
    """Return the first names of a list, and the number of the others: ``cat, dog, and 3 more``."""
    more = f", and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(str, names[:SHOWN])) + more


def show(label: int, names: Sequence[str] | None) -> str:
    """Return the name of a class, or its label if it has no name."""
    return names[label] if names and label < len(names) else str(label)


def given(reading: Reading, stored: tuple[str, ...] | None, place: object) -> tuple[str, ...] | None:
    """Return the classes of a trained network, or else the names that the config gives, or else the stored ones.

    Args:
        reading: its `class_names` are a list in the order of the labels, or pairs of a label or stored name and a name.
        stored: the names in the data; None if their classes are numbers.
        place: where the data are, for messages.

    Raises:
        DataError: the config names a class that does not exist, or gives a list of another length than the stored one.
    """
    wanted = reading.class_names
    if reading.expected_classes is not None:
        return reading.expected_classes
    if not wanted:
        return stored
    if all(isinstance(name, str) for name in wanted):
        names: tuple[str, ...] = wanted  # type: ignore[assignment]
        if stored and len(names) != len(stored):
            raise DataError(
                f"{place}: data.class_names has {len(names)} names, but there are {len(stored)} classes: "
                f"{listed(stored)}"
            )
        return names
    pairs: dict[int | str, str] = dict(wanted)  # type: ignore[arg-type]
    if stored is None:
        return _of_labels(pairs, place)
    if unknown := [key for key in pairs if key not in stored and not (isinstance(key, int) and key < len(stored))]:
        raise DataError(f"{place}: data.class_names: there is no class {listed(unknown)}; there are {listed(stored)}")
    return tuple(pairs.get(name, pairs.get(label, name)) for label, name in enumerate(stored))


def _of_labels(pairs: dict[int | str, str], place: object) -> tuple[str, ...]:
    if words := [key for key in pairs if not isinstance(key, int)]:
        raise DataError(f"{place}: data.class_names: the labels are numbers, so {listed(words)} cannot be one")
    last = max(int(label) for label in pairs)
    return tuple(pairs.get(label, str(label)) for label in range(last + 1))


def check_count(names: Sequence[str] | None, labels: Array, place: object) -> None:
    """Raise `DataError` if there are names, but not for every label."""
    if names and (highest := int(labels.max())) >= len(names):
        raise DataError(f"{place}: there are {len(names)} class names, but the labels go up to {highest}")


def to_labels(found: Sequence[str], stored: Sequence[str], reading: Reading, place: object) -> Array:
    """Return (n,) int32 labels: the place of each stored name among the classes.

    Args:
        found: the stored name of each image.
        stored: the classes of the training part.
        reading: its `expected_classes` are the classes instead, if they are given.
        place: where the data are.

    Raises:
        DataError: a name is not among the classes.
    """
    names, owner = stored, "the training part"
    if reading.expected_classes is not None:
        pairs = [pair for pair in reading.class_names or () if not isinstance(pair, str)]
        renamed: dict[int | str, str] = dict(pairs)
        found, names, owner = [renamed.get(one, one) for one in found], reading.expected_classes, "the network"
    places = {name: label for label, name in enumerate(names)}
    if unknown := in_order([name for name in set(found) if name not in places]):
        raise DataError(f"{place}: unknown class {listed(unknown)}; the classes of {owner} are {listed(names)}")
    return np.fromiter((places[name] for name in found), np.int32, len(found))


def resolve(wanted: Sequence[int | str] | None, names: Sequence[str] | None) -> tuple[int, ...] | None:
    """Return the labels of some classes, which a config gives as labels or as names; None stays None.

    Raises:
        DataError: a name is not among the classes.
    """
    if wanted is None:
        return None
    if unknown := [one for one in wanted if isinstance(one, str) and one not in (names or ())]:
        known = f"the classes are {listed(names)}" if names else "the classes have no names; give their labels"
        raise DataError(f"data.classes: there is no class {listed(unknown)}; {known}")
    return tuple(list(names or ()).index(one) if isinstance(one, str) else one for one in wanted)
