"""Draw many shapes at once with a pen, in the format of MNIST: a box of 20×20 pixels, centred by mass in 28×28."""

from collections.abc import Sequence

import numpy as np

from dnn_cli.data.digit_normalization import BOX_SIDE, IMAGE_SIDE
from dnn_cli.typing import Array

POINTS = 160  # along all strokes of a shape together: more than one for each pixel that they pass
CHUNK = 2000  # shapes at a time
REACH = 2  # pixels around a point that a pen may blacken
MIN_EXTENT = 1e-6  # a shape that is a single point is not enlarged


def curve(controls: Array, points: int, *, smooth: bool) -> Array:
    """Return points along strokes, (n, points, 2).

    Args:
        controls: (n, k, 2) the points that each stroke goes through.
        points: number of points.
        smooth: connect them by Catmull-Rom splines (1974) instead of straight lines.
    """
    count = controls.shape[1]
    place = np.linspace(0, count - 1, points)
    index = np.minimum(place.astype(int), count - 2)
    t = place - index
    steps: tuple[int, ...]
    if smooth:
        weights = [t * (-0.5 + t * (1 - 0.5 * t)), 1 + t * t * (1.5 * t - 2.5), t * (0.5 + t * (2 - 1.5 * t))]
        weights.append(t * t * (0.5 * t - 0.5))
        steps = (-1, 0, 1, 2)
    else:
        weights, steps = [1 - t, t], (0, 1)
    matrix = np.zeros((points, count))
    for step, weight in zip(steps, weights, strict=True):
        np.add.at(matrix, (np.arange(points), np.clip(index + step, 0, count - 1)), weight)
    return np.asarray(matrix.astype(np.float32) @ controls.astype(np.float32))


def trace(strokes: Sequence[tuple[bool, Array]]) -> Array:
    """Return `POINTS` points along the strokes of shapes, (n, POINTS, 2), as many for each line between two points.

    Args:
        strokes: whether each is smooth, and the points (n, k, 2) that it goes through.
    """
    lines = np.cumsum([0, *(controls.shape[1] - 1 for _, controls in strokes)])
    counts = np.diff(np.rint(lines * POINTS / lines[-1]).astype(int)).tolist()
    parts = [curve(controls, count, smooth=smooth) for (smooth, controls), count in zip(strokes, counts, strict=True)]
    return np.concatenate(parts, axis=1)


def deform(points: Array, random: np.random.Generator) -> Array:
    """Return the points (n, p, 2) of shapes as different hands write them: stretched, slanted and turned."""
    n = len(points)
    low, high = points.min(axis=1, keepdims=True), points.max(axis=1, keepdims=True)
    extent = np.maximum(high - low, MIN_EXTENT)
    bent = np.exp(random.normal(0, 0.3, (n, 1, 2))).astype(points.dtype)  # what is in the middle moves to a side
    points = low + extent * ((points - low) / extent) ** bent
    turn, slant, width = random.normal(0, 0.12, n), random.normal(0.1, 0.17, n), np.exp(random.normal(0, 0.2, n))
    cosine, sine = np.cos(turn), np.sin(turn)
    matrix = np.array([[cosine, -sine], [sine, cosine]]).transpose(2, 0, 1)
    matrix = matrix @ np.stack([np.stack([width, -slant], -1), np.tile([0.0, 1.0], (n, 1))], 1)
    deformed: Array = np.matmul(points, matrix.transpose(0, 2, 1).astype(points.dtype))
    return deformed


def draw(points: Array, radius: Array) -> Array:
    """Draw shapes as MNIST's digits are, (n, 28, 28) uint8.

    Args:
        points: (n, p, 2) x and y of points along the strokes of each shape, in any unit.
        radius: (n,) the radius of the pen in pixels.
    """
    starts = range(0, len(points), CHUNK)
    parts = [_draw(points[start : start + CHUNK], radius[start : start + CHUNK]) for start in starts]
    return np.concatenate(parts) if parts else np.empty((0, IMAGE_SIDE, IMAGE_SIDE), np.uint8)


def _draw(points: Array, radius: Array) -> Array:
    n, half = len(points), IMAGE_SIDE / 2
    low, high = points.min(axis=1), points.max(axis=1)
    scale = (BOX_SIDE - 2 * radius) / np.maximum((high - low).max(axis=1), MIN_EXTENT)
    placed = (points - points.mean(axis=1, keepdims=True)) * scale[:, None, None].astype(points.dtype) + half
    margin = (IMAGE_SIDE - BOX_SIDE) // 4
    placed += np.maximum(margin - placed.min(axis=1), 0)[:, None]
    placed -= np.maximum(placed.max(axis=1) - (IMAGE_SIDE - margin), 0)[:, None]
    line = np.pad(np.minimum(_density(placed), 1), ((0, 0), (REACH, REACH), (REACH, REACH)))
    drawn = np.zeros((n, IMAGE_SIDE, IMAGE_SIDE), np.float32)
    for dy in range(2 * REACH + 1):
        for dx in range(2 * REACH + 1):
            ink = np.clip(radius + 0.5 - np.hypot(dy - REACH, dx - REACH), 0, 1).astype(np.float32)
            near = line[:, dy : dy + IMAGE_SIDE, dx : dx + IMAGE_SIDE] * ink[:, None, None]
            np.maximum(drawn, near, out=drawn)
    return (drawn * 255).astype(np.uint8)


def _density(places: Array) -> Array:
    """Return how many points lie in each pixel, (n, 28, 28) float32; a point is shared among the four next to it."""
    n, pixels = len(places), IMAGE_SIDE * IMAGE_SIDE
    corner = np.floor(places).astype(np.intp)
    share = places - corner
    image = np.arange(n)[:, None] * pixels
    density = np.zeros(n * pixels)
    for dx, dy in np.ndindex(2, 2):
        weight = np.abs(1 - dx - share[..., 0]) * np.abs(1 - dy - share[..., 1])
        x, y = (np.clip(corner[..., axis] + step, 0, IMAGE_SIDE - 1) for axis, step in enumerate((dx, dy)))
        density += np.bincount((image + y * IMAGE_SIDE + x).ravel(), weight.ravel(), n * pixels)
    return density.astype(np.float32).reshape(n, IMAGE_SIDE, IMAGE_SIDE)


def centred(images: Array) -> Array:
    """Return images (n, 28, 28) uint8 shifted by whole pixels so that their centres of mass are in the middle."""
    n, axis = len(images), np.arange(IMAGE_SIDE)
    mass = np.maximum(images.sum(axis=(1, 2), dtype=np.float64), 1)
    middle = (IMAGE_SIDE - 1) / 2
    down, right = (np.rint(middle - images.sum(axis=side) @ axis / mass).astype(int) for side in (2, 1))
    rows, columns = axis - down[:, None], axis - right[:, None]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))  # what is shifted in comes from the black edge
    rows, columns = (np.clip(places, -1, IMAGE_SIDE) + 1 for places in (rows, columns))
    shifted: Array = padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return shifted
