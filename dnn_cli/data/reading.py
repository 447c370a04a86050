"""The settings that decide how stored data become images, labels and class names, and the memory that they may take."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from dnn_cli.errors import DataError

Part = Literal["train", "validation", "test"]
Color = Literal["grey", "rgb"]
Resize = Literal["fit", "fill", "stretch"]

DEFAULT_TEST = 0.2  # Share of the images to hold out where the data have no test part.
UNKNOWN_MEMORY = 8 * 2**30  # Assumed where the operating system does not say how much memory the machine has.
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  # The memory that a container may use.


@dataclass(frozen=True)
class Reading:
    """How a user's own data are read. Known datasets ignore everything but the class names.

    Attributes:
        image_size: (height, width) to which pictures are resized; None for their own size.
        color: the channels of pictures; None for grey if all of them are grey, and RGB otherwise.
        resize: how a picture becomes `image_size`: ``fit`` adds borders, ``fill`` cuts edges off, ``stretch`` distorts.
        image_shape: (height, width[, channels]) of rows of pixels, or the last axes of an array.
        value_range: the stored values of black and white; None to recognize them.
        keys: pairs of an array's role, such as ``x_train``, and its name in the file.
        class_names: the classes' names in the order of the labels, or pairs of a label or stored name and its name.
        test: number or share of the images to hold out where there is no test part; None makes all images both parts.
        on_broken: whether a broken picture is an error or is skipped.
        follow_links: whether paths may lead out of the folder of the data.
        max_bytes: memory that the images of a part may take; None for half of the machine's.
        seed: the config's seed, which decides the images to hold out.
        expected_classes: the class names of a trained network, to which these data are matched by name.
    """

    image_size: tuple[int, int] | None = None
    color: Color | None = None
    resize: Resize = "fit"
    image_shape: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    keys: tuple[tuple[str, str], ...] = ()
    class_names: tuple[str, ...] | tuple[tuple[int | str, str], ...] | None = None
    test: int | float | None = DEFAULT_TEST
    on_broken: Literal["error", "skip"] = "error"
    follow_links: bool = False
    max_bytes: int | None = None
    seed: int = 0
    expected_classes: tuple[str, ...] | None = None

    @classmethod
    def of(cls, settings: Any, seed: int) -> "Reading":
        """Return the reading of a config's section `data`; this package may not import its type."""
        names = {each.name for each in fields(cls)} - {"seed", "expected_classes"}
        values = {name: getattr(settings, name) for name in names}
        values["keys"] = tuple(values["keys"].chosen().items()) if values["keys"] else ()
        if isinstance(values["class_names"], Mapping):
            values["class_names"] = tuple(values["class_names"].items())
        return cls(**values, seed=seed)

    @property
    def memory(self) -> int:
        """The number of bytes that the images of a part may take."""
        return self.max_bytes if self.max_bytes is not None else machine_memory() // 2

    def check_memory(self, place: object, images: int, shape: Sequence[int], item_bytes: int = 1) -> None:
        """Raise `DataError` if so many images of this shape take more memory than is allowed."""
        size = images * item_bytes
        for side in shape:
            size *= side
        if size > self.memory:
            sides = "×".join(map(str, shape))
            raise DataError(
                f"{place}: {images:,} images of {sides} need {size:,} bytes of memory, at most {self.memory:,} are "
                "allowed; set a smaller data.image_size, or a larger data.max_bytes"
            )


def machine_memory() -> int:
    """Return the memory of this machine, or of the container that this process runs in, in bytes."""
    found = UNKNOWN_MEMORY
    with suppress(AttributeError, OSError, ValueError):  # Windows has no `sysconf`.
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # Without a limit, the file says "max".
        found = min(found, int(CGROUP_LIMIT.read_text()))
    return found
