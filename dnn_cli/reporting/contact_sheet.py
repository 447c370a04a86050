"""A contact sheet of a dataset: a row of images for each class, as one PNG."""

import io
from pathlib import Path

import numpy as np

from dnn_cli.data.describe import Description
from dnn_cli.errors import require_extra
from dnn_cli.files import check_output, write_output
from dnn_cli.reporting import figures, image_grids
from dnn_cli.reporting.figures import new_figure, styled
from dnn_cli.typing import Array

COLUMNS = 12  # Images of each class.
MAX_ROWS = 40  # Classes that are shown.
INCHES = 0.6  # Height and width of an image.


def check(file: Path) -> None:
    """Raise `UsageError` if `draw` could not write to `file`, or matplotlib is not installed."""
    require_extra("report", "matplotlib", purpose="--preview")
    check_output(file, "--preview", (".png",))


def draw(found: Description, file: Path) -> None:
    """Write the first training images of each class to a PNG file; raises `DnnError` if that fails."""
    split = found.splits["train"]
    labels = [label for label in range(len(found.names)) if (split.labels == label).any()][:MAX_ROWS]
    with styled():
        figure = new_figure((COLUMNS + 3) * INCHES, len(labels) * INCHES + 0.3)
        grid = figure.subplots(len(labels), COLUMNS, squeeze=False)
        for row, label in zip(grid, labels, strict=True):
            _draw_row(row, split.images[np.flatnonzero(split.labels == label)[:COLUMNS]])
            name = found.names[label].replace("$", r"\$")
            row[0].text(-0.2, 0.5, name, ha="right", va="center", fontsize=8, transform=row[0].transAxes)
        content = io.BytesIO(figures.save(figure, "png"))
    write_output(file, content.getvalue())


def _draw_row(row: Array, images: Array) -> None:
    for axes in row:
        axes.set_axis_off()
    for axes, image in zip(row, images, strict=False):
        axes.imshow(image_grids.displayable(image), cmap="gray", vmin=0, vmax=1, interpolation="none")
