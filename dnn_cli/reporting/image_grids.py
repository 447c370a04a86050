"""Images of a dataset and of weights, as grids in a figure and as small PNGs for a page."""

import base64
import io
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from dnn_cli.data.pixels import to_unit_range
from dnn_cli.reporting.figures import OMITTED_METADATA, hover, new_figure, styled, tinted
from dnn_cli.reporting.palette import LIGHT
from dnn_cli.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GREY_DIMENSIONS = 2  # of an image without channels
MAX_SIDE = 64  # Pixels of the longer side of an image in a page; larger images are reduced.
MAX_WEIGHT_IMAGES = 128  # The weights of at most this many units of the first layer are shown.
MAX_WEIGHT_PIXELS = 200_000  # All of these images together have at most this many pixels.
WEIGHT_COLUMNS, IMAGE_COLUMNS = 16, 8


def weights(images: Array, names: Sequence[str] = (), crossed: Sequence[int] = ()) -> "Figure":
    """Draw the weights of units as images (n, height, width): vermilion is positive, blue negative.

    Each unit has its own scale, from transparent at zero to opaque at its largest weight.

    Args:
        images: the weights.
        names: a text for each image that is shown where the pointer is over it.
        crossed: the indices of the images that are crossed out.
    """
    sizes = np.abs(images)
    strength = sizes / np.maximum(sizes.max(axis=(1, 2), keepdims=True), 1e-12)
    return _grid(tinted(strength, images < 0), names=names, crossed=crossed, columns=WEIGHT_COLUMNS)


def gallery(images: Array, captions: Sequence[str]) -> "Figure":
    """Draw images (n, height, width[, 3]), as `displayable` returns them, each above its caption."""
    colours = images if images.ndim > GREY_DIMENSIONS + 1 else np.repeat(images[..., None], 3, axis=-1)
    pixels = np.concatenate([colours, np.ones((*colours.shape[:-1], 1))], axis=-1)
    return _grid((255 * pixels).round().astype(np.uint8), captions, columns=IMAGE_COLUMNS)


def _grid(
    tiles: Array,
    captions: Sequence[str] = (),
    *,
    columns: int,
    names: Sequence[str] = (),
    crossed: Sequence[int] = (),
) -> "Figure":
    """Draw tiles (n, height, width, 4) row by row, with gaps between them and with room for captions."""
    count, height, width = tiles.shape[:3]
    columns = min(columns, count)
    rows = ceil(count / columns)
    gap = max(1, round(0.07 * width))
    pitch = height + gap + (round(0.22 * height) if captions else 0)
    canvas = np.zeros((rows * pitch, columns * (width + gap), 4), np.uint8)
    places = [(index // columns * pitch, index % columns * (width + gap)) for index in range(count)]
    for (top, left), tile in zip(places, tiles, strict=True):
        canvas[top : top + height, left : left + width] = tile
    with styled():
        inches = columns * (1.15 if captions else 0.58)
        figure = new_figure(inches, inches * canvas.shape[0] / canvas.shape[1], None)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.imshow(canvas, interpolation="none", aspect="auto")
        for (top, left), caption in zip(places, captions, strict=False):
            axes.text(left + width / 2, top + height + gap, caption, ha="center", va="top", fontsize=7)
        for top, left in (places[index] for index in crossed):
            for rows_of_line in ((top, top + height - 1), (top + height - 1, top)):
                axes.plot((left, left + width - 1), rows_of_line, color=LIGHT.ink, linewidth=1.2)
        for (top, left), name in zip(places, names, strict=False):
            hover(axes, (left - 0.5, left + width - 0.5), (top - 0.5, top + height - 0.5), name)
        return figure


def weight_images(kernel: Array, image_shape: Sequence[int]) -> tuple[Array, list[int]]:
    """Return the weights of a first layer as images, and the indices of their units.

    Args:
        kernel: (pixels, units) the weights.
        image_shape: (height, width[, channels]) of the network's input; channels are averaged.

    Returns:
        Images (n, height, width). If there are too many units to show, those with the largest norms are chosen; they
        are in the order of the layer.
    """
    images = kernel.T.reshape(-1, *image_shape)
    images = images if images.ndim == GREY_DIMENSIONS + 1 else images.mean(-1)
    images = np.stack([_reduced(image) for image in images])
    room = min(MAX_WEIGHT_IMAGES, max(1, MAX_WEIGHT_PIXELS // images[0].size))
    units = np.sort(np.argsort(-np.linalg.norm(kernel, axis=0), kind="stable")[:room])
    return images[units], units.tolist()


def displayable(image: Array) -> Array:
    """Return an image in [0, 1] as grey (height, width) or RGB (height, width, 3).

    Args:
        image: (height, width[, channels]) of uint8 in 0..255, or of floats in [0, 1]. One channel, or another number of
            channels than three, is shown as the mean.
    """
    scaled = np.clip(to_unit_range(image), 0, 1)
    return scaled if scaled.ndim == GREY_DIMENSIONS or scaled.shape[-1] == 3 else scaled.mean(-1)


def thumbnail(image: Array) -> Array:
    """Return an image as `displayable` does, with at most `MAX_SIDE` pixels a side."""
    return _reduced(displayable(image))


def _reduced(image: Array) -> Array:
    """Return the means of square blocks of pixels, so large that the image gets small enough."""
    size = ceil(max(image.shape[:2]) / MAX_SIDE)
    if size == 1:
        return image
    height, width = (max(1, length // size) for length in image.shape[:2])
    cropped = image[: height * size, : width * size]
    blocks = cropped.reshape(height, len(cropped) // height, width, cropped.shape[1] // width, *image.shape[2:])
    means: Array = blocks.mean(axis=(1, 3))
    return means


def data_uri(image: Array) -> str:
    """Return an image, as `thumbnail` returns it, as a PNG data URI."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, image, format="png", cmap="gray", vmin=0, vmax=1, metadata=OMITTED_METADATA["png"])
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
