"""The factors on the loss by which classes of unequal size can count the same."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from dnn_cli.data.class_names import listed
from dnn_cli.errors import UsageError
from dnn_cli.typing import Array


def class_weights(
    setting: Literal["balanced"] | Mapping[int | str, float] | None,
    labels: Array,
    classes: int,
    names: Sequence[str] | None,
) -> Array | None:
    """Return the factor of each class, (classes,) float32; None if no factors are set.

    ``balanced`` is n / (k n_c) for n images of k classes, of which n_c are of class c (King & Zeng 2001).

    Args:
        setting: the config's `training.class_weight`.
        labels: (n,) the labels of the images to train on.
        classes: number of classes.
        names: their names; None if they have none.

    Raises:
        UsageError: the setting names a class that does not exist.
    """
    if setting is None:
        return None
    if setting == "balanced":
        counts = np.bincount(labels, minlength=classes)
        present = np.count_nonzero(counts)
        return np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 1).astype(np.float32)
    places: dict[int | str, int] = {label: label for label in range(classes)}
    places |= {name: label for label, name in enumerate(names or ())}
    if unknown := [key for key in setting if key not in places]:
        known = listed(names) if names else f"0 to {classes - 1}"
        raise UsageError(f"training.class_weight: there is no class {listed(unknown)}; the classes are {known}")
    weights = np.ones(classes, np.float32)
    for key, weight in setting.items():
        weights[places[key]] = weight
    return weights
