"""Describe images by the edges in them: strokes of any width have edges of the same directions in the same places."""

import numpy as np

from dnn_cli.data.pixels import to_unit_range
from dnn_cli.typing import Array

CELLS, DIRECTIONS = 7, 8
SHAPE = (CELLS, CELLS, DIRECTIONS)  # of the description of an image
NARROWNESS = 0.6  # A direction counts edges up to arccos(0.6) = 53 degrees from it.
GAIN = 0.4  # brings most numbers into [0, 1]
CHUNK = 2000  # images at a time


def describe(images: Array) -> Array:
    """Return histograms of the directions of edges, (n, 7, 7, 8) float32, of images (n, 28, 28) uint8.

    They are like those of Dalal & Triggs 2005 ("Histograms of Oriented Gradients for Human Detection"), with signed
    directions. A pixel adds the strength of its gradient to the cells of 4×4 pixels near it and to the directions near
    its own; square roots keep strong edges from outweighing all others.
    """
    parts = [_describe(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
    return np.concatenate(parts) if parts else np.empty((0, *SHAPE), np.float32)


def _describe(images: Array) -> Array:
    padded = np.pad(to_unit_range(images), ((0, 0), (1, 1), (1, 1)))
    x = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    y = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    threshold = np.sqrt(x * x + y * y) * np.float32(NARROWNESS)
    cells = []
    for direction in range(DIRECTIONS):
        angle = 2 * np.pi * direction / DIRECTIONS
        strength = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)) - threshold
        cells.append(_pool(_pool(np.maximum(strength, 0)).transpose(0, 2, 1)).transpose(0, 2, 1))
    histogram: Array = np.sqrt(np.stack(cells, axis=-1)) * np.float32(GAIN)
    return histogram


def _pool(values: Array) -> Array:
    """Sum the rows (n, 28, m) into seven overlapping cells of eight rows, the middle ones three times, (n, 7, m)."""
    pairs = values[:, ::2] + values[:, 1::2]
    pairs = np.pad(pairs, ((0, 0), (1, 1), (0, 0)))
    inner = pairs[:, 1:-1:2] + pairs[:, 2:-1:2]
    pooled: Array = pairs[:, :-2:2] + 3 * inner + pairs[:, 3::2]
    return pooled
