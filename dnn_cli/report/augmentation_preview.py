"""A picture of original images beside deformed copies, by which a person can judge an augmentation's strengths."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dnn_cli.config.schema import Config
from dnn_cli.data import datasets
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.errors import DnnError, UsageError, reason
from dnn_cli.report import plots
from dnn_cli.typing import Array

ROWS = 10  # images, each of another class
COPIES = 9
INCHES = 0.8  # the side of an image


def check(config: Config, file: Path) -> None:
    """Raise `UsageError` if `draw` could not show anything of `config` in `file`."""
    if find_spec("matplotlib") is None:
        raise UsageError("--preview draws with matplotlib, which is not here: pip install 'dnn-cli[report]'")
    if not config.training.augmentation.is_on:
        raise UsageError(
            "--preview has nothing to show: training.augmentation is off; "
            "for example --set training.augmentation.rotation=15"
        )
    if file.suffix.lower() != ".png":
        raise UsageError(f"--preview {file}: the name must end in .png")
    if file.is_dir() or not file.parent.is_dir():
        raise UsageError(f"--preview {file}: {'is a folder' if file.is_dir() else f'there is no folder {file.parent}'}")


def draw(config: Config, name: str, file: Path, *, quiet: bool = False) -> str:
    """Write a PNG of an image of each class of the dataset `name` and of its deformed copies.

    Args:
        config: its augmentation and seed.
        name: of the dataset, or its path.
        file: what to write; a file that is there is replaced.
        quiet: whether to download without a word.

    Returns:
        A warning where the dataset is a fallback, or nothing.

    Raises:
        UsageError: what `check` refuses.
        DataError: the dataset is missing or damaged.
        DnnError: the file cannot be written.
    """
    check(config, file)
    dataset = datasets.find(name, config.data.fallback, quiet=quiet)
    split = dataset.load("train")
    firsts = np.sort(np.unique(split.labels, return_index=True)[1][:ROWS])
    firsts = firsts[np.argsort(split.labels[firsts])]
    originals = split.images[firsts]
    picture = _figure([originals, *_copies(config, originals)], config, dataset.name)
    try:
        picture.savefig(file, format="png", dpi=100)
    except OSError as error:
        raise DnnError(f"{file} cannot be written: {reason(error)}") from None
    return dataset.note


def _copies(config: Config, originals: Array) -> list[Array]:
    """The images as the first steps of a training would deform them."""
    tensorflow_import.import_tensorflow()
    import tensorflow as tf

    from dnn_cli.engines.keras.augmentation import Augmenter

    deform = Augmenter(config.training.augmentation, originals.shape[1:])
    randomness = deform.randomness(config.seed, 0)
    images = tf.constant(originals)
    return [deform(images, tf.constant(step), randomness).numpy() for step in range(COPIES)]


def _figure(columns: list[Array], config: Config, name: str) -> Any:
    from matplotlib.figure import Figure

    rows = len(columns[0])
    figure = Figure(figsize=((len(columns) + 0.3) * INCHES, (rows + 1.2) * INCHES), layout="constrained")
    figure.suptitle(f"{name}: originals, left, and deformed copies\n{_strengths(config)}", fontsize=9)
    for axes, image in zip(
        figure.subplots(rows, len(columns), squeeze=False).flat,
        (plots.shown(column[row]) for row in range(rows) for column in columns),
        strict=True,
    ):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_xticks([])
        axes.set_yticks([])
    for axes in figure.axes[:: len(columns)]:
        axes.spines[:].set(color="tab:blue", linewidth=3)
    return figure


def _strengths(config: Config) -> str:
    values = config.training.augmentation.model_dump()
    elastic = values.pop("elastic")
    parts = [f"{key} {value:g}" for key, value in values.items() if value]
    if elastic["strength"]:
        parts.append(f"elastic {elastic['strength']:g} every {elastic['smoothness']:g} pixels")
    return ", ".join(parts)
