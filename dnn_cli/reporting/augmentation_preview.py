"""A picture of original images beside augmented copies, which shows how strong an augmentation is."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from dnn_cli.config.schema import Config
from dnn_cli.data import datasets
from dnn_cli.data.reading import Reading
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.errors import UsageError, require_extra
from dnn_cli.files import check_output, write_output
from dnn_cli.reporting import image_grids
from dnn_cli.reporting.palette import BLUE
from dnn_cli.typing import Array

MAX_ROWS = 10  # Images in the picture, each of another class.
COPIES = 9  # augmented ones of each image
INCHES = 0.8  # The side of an image.
DPI = 100


def check(config: Config, file: Path) -> None:
    """Check, before a dataset is read, that `draw` has something to draw and that `file` can be written.

    Raises:
        UsageError: matplotlib is not installed, the augmentation is off, or `file` is not a PNG file in an existing
            folder.
    """
    require_extra("report", "matplotlib", purpose="--preview")
    if not config.training.augmentation.is_on:
        raise UsageError(
            "--preview has nothing to show, because training.augmentation is off; "
            "turn it on, for example with --set training.augmentation.rotation=15"
        )
    check_output(file, "--preview", (".png",))


def draw(config: Config, name: str, file: Path, *, quiet: bool = False) -> str:
    """Write a PNG file with one image of each class of a dataset and its augmented copies.

    Args:
        config: the config with the augmentation and the seed.
        name: the dataset's name or path.
        file: the file to write; an existing file is replaced.
        quiet: show no progress of a download.

    Returns:
        A warning if the dataset is a fallback; otherwise "".

    Raises:
        UsageError: as `check` does.
        DataError: the dataset is missing or damaged.
        DnnError: the file cannot be written.
    """
    check(config, file)
    dataset = datasets.find(name, config.data.fallback, quiet=quiet, reading=Reading.of(config.data, config.seed))
    split = dataset.load("train")
    firsts = np.sort(np.unique(split.labels, return_index=True)[1][:MAX_ROWS])
    firsts = firsts[np.argsort(split.labels[firsts])]
    originals = split.images[firsts]
    picture = _figure([originals, *_copies(config, originals)], config, dataset.name)
    content = io.BytesIO()
    picture.savefig(content, format="png", dpi=DPI)
    write_output(file, content.getvalue())
    return dataset.note


def _copies(config: Config, originals: Array) -> list[Array]:
    """Return copies of the images, augmented as in the first steps of a training."""
    tensorflow_import.import_tensorflow()
    import tensorflow as tf

    from dnn_cli.engines.keras.augmentation import Augmenter

    augmenter = Augmenter(config.training.augmentation, originals.shape[1:])
    randomness = augmenter.randomness(config.seed, 0)
    images = tf.constant(originals)
    return [augmenter(images, tf.constant(step), randomness).numpy() for step in range(COPIES)]


def _figure(columns: list[Array], config: Config, name: str) -> Any:
    from matplotlib.figure import Figure

    rows = len(columns[0])
    figure = Figure(figsize=((len(columns) + 0.3) * INCHES, (rows + 1.2) * INCHES), layout="constrained")
    figure.suptitle(f"{name}: originals (left) and augmented copies\n{_strengths(config)}", fontsize=9)
    for axes, image in zip(
        figure.subplots(rows, len(columns), squeeze=False).flat,
        (image_grids.displayable(column[row]) for row in range(rows) for column in columns),
        strict=True,
    ):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_xticks([])
        axes.set_yticks([])
    for axes in figure.axes[:: len(columns)]:
        axes.spines[:].set(color=BLUE, linewidth=3)
    return figure


def _strengths(config: Config) -> str:
    """Return the settings of the augmentation that are on, in a line."""
    values = config.training.augmentation.model_dump()
    elastic = values.pop("elastic")
    parts = [f"{key} {value:g}" for key, value in values.items() if value]
    if elastic["strength"]:
        parts.append(f"elastic {elastic['strength']:g} every {elastic['smoothness']:g} pixels")
    return ", ".join(parts)
