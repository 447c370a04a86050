"""Random deformations of a batch of images, inside the graph: each image is turned, moved and bent anew at each step.

A deformation says for every pixel of the result where in the original to look; the grey value there is interpolated
between the four pixels around it, and is 0 outside the picture. From the original to the result an image is scaled,
sheared, turned, moved, bent; then noise is added.

What is drawn is a function of (seed, epoch, step, place in the batch) alone, compiled or not. The numbers come from
Threefry, written out here because TensorFlow has it only inside XLA.
"""

from math import ceil, pi, prod
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from dnn_cli import seeds
from dnn_cli.config.schema import Augmentation
from dnn_cli.seeds import Purpose

Array = np.ndarray[Any, np.dtype[np.float32]]

POOL_BITS = 20  # a million numbers
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


class EpochRandomness(NamedTuple):
    """What an epoch's randomness is drawn from: Threefry's key, (2,) uint32, and normal numbers for the noise."""

    key: tf.Tensor
    pool: tf.Tensor


class Augmenter:
    """Deforms batches of images of one shape.

    Args:
        settings: how strongly, at most.
        image_shape: (height, width) or (height, width, channels).
    """

    def __init__(self, settings: Augmentation, image_shape: tuple[int, ...]) -> None:
        self.settings = settings
        self.image_shape = image_shape
        self._rows, self._columns = (spline(length, settings.elastic.smoothness) for length in image_shape[:2])

    def chance(self, seed: int, epoch: int) -> EpochRandomness:
        """The randomness of one epoch.

        The noise of an image is a stretch of a long row of normal numbers, from a random place on: to draw every
        pixel's own would take longer than the training itself.
        """
        random = seeds.generator(seed, Purpose.AUGMENTATION, epoch)
        key = random.integers(2**32, size=2, dtype=np.uint32)
        length = 2**POOL_BITS + prod(self.image_shape) if self.settings.noise else 0
        return EpochRandomness(tf.constant(key), tf.constant(random.standard_normal(length, np.float32)))

    def __call__(self, images: tf.Tensor, step: tf.Tensor, chance: EpochRandomness) -> tf.Tensor:
        """Each image deformed in its own way.

        Args:
            images: (n, \\*image_shape) with n known; uint8 in 0..255, or float32 in [0, 1].
            step: of the epoch, int32.
            chance: of the epoch.

        Returns:
            float32 of the same shape; in [0, 1] but for the noise, which is not cut off, so that its mean is 0.
        """
        count, settings = images.shape[0], self.settings
        stream = 3 * tf.cast(step, tf.uint32)
        angle, shear, scale_y, scale_x, shift_y, shift_x = tf.unstack(
            uniform(chance.key, stream, (6, count))
            * tf.constant(
                [
                    [settings.rotation * pi / 180],
                    [settings.shear * pi / 180],
                    [settings.scale],
                    [settings.scale],
                    [settings.translation],
                    [settings.translation],
                ]
            )
        )
        y, x = sources(self.image_shape, angle, shear, (1 + scale_y, 1 + scale_x), (shift_y, shift_x))
        if settings.elastic.strength:
            shape = (2, count, self._rows.shape[1], self._columns.shape[1])
            grid = settings.elastic.strength * uniform(chance.key, stream + 1, shape)
            bend_y, bend_x = tf.unstack(tf.matmul(self._rows, tf.matmul(grid, self._columns, transpose_b=True)))
            y, x = y + bend_y, x + bend_x
        deformed = sample(images, y, x)
        if images.dtype == tf.uint8:
            deformed /= 255.0
        if settings.noise:
            first = tf.bitwise.right_shift(threefry(chance.key, stream + 2, count)[0], 32 - POOL_BITS)
            places = tf.cast(first, tf.int32)[:, None] + tf.range(prod(self.image_shape))
            deformed += settings.noise * tf.reshape(tf.gather(chance.pool, places), deformed.shape)
        return deformed


def sources(
    image_shape: tuple[int, ...],
    angle: tf.Tensor,
    shear: tf.Tensor,
    scale: tuple[tf.Tensor, tf.Tensor],
    shift: tuple[tf.Tensor, tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Where each pixel of n deformed images comes from: row and column in the original, each (n, height, width).

    Args:
        image_shape: its first two are height and width.
        angle: (n,), radians anticlockwise about the middle.
        shear: (n,), radians by which upright lines lean, their top to the left.
        scale: (n,) each, factors of the height and of the width.
        shift: (n,) each, pixels down and to the right.
    """
    middle_y, middle_x = ((length - 1) / 2 for length in image_shape[:2])
    angle, shear, scale_y, scale_x, shift_y, shift_x = (each[:, None, None] for each in (angle, shear, *scale, *shift))
    y = (np.arange(image_shape[0], dtype=np.float32) - middle_y)[:, None] - shift_y
    x = np.arange(image_shape[1], dtype=np.float32) - middle_x - shift_x
    cos, sin = tf.cos(angle), tf.sin(angle)
    y, x = cos * y + sin * x, cos * x - sin * y
    x -= tf.tan(shear) * y
    return y / scale_y + middle_y, x / scale_x + middle_x


def sample(images: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """The values of (n, height, width[, channels]) `images` at rows `y` and columns `x`, each (n, height, width).

    Bilinear; a frame of zeros around each image makes whatever lies a pixel or more outside 0. float32 in the images'
    own unit.
    """
    count, height, width, *channels = images.shape
    y, x = tf.clip_by_value(y, -1.0, height) + 1, tf.clip_by_value(x, -1.0, width) + 1
    top, left = tf.minimum(tf.floor(y), height), tf.minimum(tf.floor(x), width)
    down, right = y - top, x - left
    if channels:
        down, right = down[..., None], right[..., None]
    framed = tf.pad(images, [[0, 0], [1, 1], [1, 1], *[[0, 0]] * len(channels)])
    pixels = tf.reshape(framed, (-1, *channels))
    row = width + 2
    start = tf.range(count)[:, None, None] * ((height + 2) * row)
    place = start + tf.cast(top, tf.int32) * row + tf.cast(left, tf.int32)

    def corner(offset: int) -> tf.Tensor:
        return tf.cast(tf.gather(pixels, place + offset), tf.float32)

    above = corner(0) + (corner(1) - corner(0)) * right
    below = corner(row) + (corner(row + 1) - corner(row)) * right
    return above + (below - above) * down


def spline(length: int, spacing: float) -> Array:
    """The weights, (length, points), with which points `spacing` apart move each pixel of a line: a cubic B-spline.

    They are not negative and add up to 1, so that no pixel moves further than the points do; what they make is twice
    continuously differentiable.
    """
    points = ceil((length - 1) / spacing) + 3
    pixels = (np.arange(length) - (length - 1) / 2) / spacing + (points - 1) / 2
    distance = np.abs(pixels[:, None] - np.arange(points))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    weights: Array = np.where(distance < 1, near, far).astype(np.float32)
    return weights


def uniform(key: tf.Tensor, stream: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """float32 numbers of `shape`, uniform in [-1, 1)."""
    count = prod(shape)
    words = tf.concat(threefry(key, stream, (count + 1) // 2), 0)[:count]
    # A signed number of 24 bits is exact in float32, and converts faster than an unsigned one.
    whole = tf.cast(tf.bitcast(tf.bitwise.right_shift(words, 8), tf.int32), tf.float32)
    return tf.reshape(whole * 2.0**-23 - 1, shape)


def threefry(key: tf.Tensor, stream: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011) of the counters (0, stream), (1, stream), ...

    Args:
        key: (2,) uint32.
        stream: uint32.
        count: of counters.

    Returns:
        Two words for each counter, (count,) uint32.
    """
    return threefry_block(key, tf.constant(np.arange(count, dtype=np.uint32)), tf.fill((count,), stream))


def threefry_block(key: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The pairs (`first`, `second`), uint32, encrypted with `key`."""
    xor = tf.bitwise.bitwise_xor
    keys = (key[0], key[1], xor(xor(key[0], key[1]), _PARITY))
    first, second = first + keys[0], second + keys[1]
    for group in range(5):
        for bits in _ROTATIONS[group % 2]:
            first += second
            turned = tf.bitwise.bitwise_or(
                tf.bitwise.left_shift(second, bits), tf.bitwise.right_shift(second, 32 - bits)
            )
            second = xor(first, turned)
        first += keys[(group + 1) % 3]
        second += keys[(group + 2) % 3] + tf.constant(group + 1, tf.uint32)
    return first, second
