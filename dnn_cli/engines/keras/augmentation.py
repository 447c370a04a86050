"""Random deformations of a batch of images inside the TensorFlow graph, different for each image at each step.

A deformation gives for each output pixel the place in the original image to read from. The grey value there is
interpolated between the four pixels around it; outside the image it is 0. From the original to the result, an image is
scaled, sheared, rotated, shifted and bent elastically; then noise is added.

The random numbers depend on (seed, epoch, step, position in the batch) alone, compiled or not. They come from Threefry,
which is implemented here because TensorFlow offers it only inside XLA.
"""

from math import ceil, pi, prod
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from dnn_cli import seeds
from dnn_cli.config.schema import Augmentation
from dnn_cli.engines.keras.pixels import to_unit_range
from dnn_cli.seeds import Purpose

Array = np.ndarray[Any, np.dtype[np.float32]]

POOL_BITS = 20  # the pool of noise has 2**20 start positions
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


class EpochRandomness(NamedTuple):
    """The source of an epoch's random numbers.

    Attributes:
        key: (2,) uint32, the key of Threefry.
        pool: normal numbers for the noise, float32.
    """

    key: tf.Tensor
    pool: tf.Tensor


class Augmenter:
    """Deforms batches of images of one shape.

    Args:
        settings: upper limits of the deformations.
        image_shape: (height, width) or (height, width, channels).
    """

    def __init__(self, settings: Augmentation, image_shape: tuple[int, ...]) -> None:
        self.settings = settings
        self.image_shape = image_shape
        self._rows, self._columns = (spline_weights(length, settings.elastic.smoothness) for length in image_shape[:2])

    def randomness(self, seed: int, epoch: int) -> EpochRandomness:
        """Return the source of random numbers for one epoch.

        The noise of an image is a section of a long row of normal numbers that starts at a random position. Drawing a
        new number for every pixel would take longer than the training itself.
        """
        random = seeds.generator(seed, Purpose.AUGMENTATION, epoch)
        key = random.integers(2**32, size=2, dtype=np.uint32)
        length = 2**POOL_BITS + prod(self.image_shape) if self.settings.noise else 0
        return EpochRandomness(tf.constant(key), tf.constant(random.standard_normal(length, np.float32)))

    def __call__(self, images: tf.Tensor, step: tf.Tensor, randomness: EpochRandomness) -> tf.Tensor:
        """Return the images, each with its own random deformation.

        Args:
            images: (n, height, width[, channels]) with n known; uint8 in 0..255, or float32 in [0, 1].
            step: number of the step in the epoch, int32.
            randomness: random numbers of the epoch.

        Returns:
            float32 of the same shape, in [0, 1] without noise. Noise is not clipped, so that its mean stays 0.
        """
        count, settings = images.shape[0], self.settings
        stream = 3 * tf.cast(step, tf.uint32)
        angle, shear, scale_y, scale_x, shift_y, shift_x = tf.unstack(
            uniform(randomness.key, stream, (6, count))
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
        y, x = source_coordinates(self.image_shape, angle, shear, (1 + scale_y, 1 + scale_x), (shift_y, shift_x))
        if settings.elastic.strength:
            shape = (2, count, self._rows.shape[1], self._columns.shape[1])
            grid = settings.elastic.strength * uniform(randomness.key, stream + 1, shape)
            bend_y, bend_x = tf.unstack(tf.matmul(self._rows, tf.matmul(grid, self._columns, transpose_b=True)))
            y, x = y + bend_y, x + bend_x
        deformed = to_unit_range(sample_bilinear(images, y, x), images.dtype)
        if settings.noise:
            first = tf.bitwise.right_shift(threefry(randomness.key, stream + 2, count)[0], 32 - POOL_BITS)
            positions = tf.cast(first, tf.int32)[:, None] + tf.range(prod(self.image_shape))
            deformed += settings.noise * tf.reshape(tf.gather(randomness.pool, positions), deformed.shape)
        return deformed


def source_coordinates(
    image_shape: tuple[int, ...],
    angle: tf.Tensor,
    shear: tf.Tensor,
    scale: tuple[tf.Tensor, tf.Tensor],
    shift: tuple[tf.Tensor, tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the row and the column in the original of each pixel of n deformed images, both (n, height, width).

    Args:
        image_shape: (height, width) or (height, width, channels).
        angle: (n,), radians anticlockwise about the centre.
        shear: (n,), radians by which vertical lines lean to the left at the top.
        scale: factors of the height and of the width, each (n,).
        shift: pixels down and to the right, each (n,).
    """
    middle_y, middle_x = ((length - 1) / 2 for length in image_shape[:2])
    angle, shear, scale_y, scale_x, shift_y, shift_x = (each[:, None, None] for each in (angle, shear, *scale, *shift))
    y = (np.arange(image_shape[0], dtype=np.float32) - middle_y)[:, None] - shift_y
    x = np.arange(image_shape[1], dtype=np.float32) - middle_x - shift_x
    cos, sin = tf.cos(angle), tf.sin(angle)
    y, x = cos * y + sin * x, cos * x - sin * y
    x -= tf.tan(shear) * y
    return y / scale_y + middle_y, x / scale_x + middle_x


def sample_bilinear(images: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return the values of images between their pixels by bilinear interpolation.

    A border of zeros around each image makes everything that is a pixel or more outside 0.

    Args:
        images: (n, height, width) or (n, height, width, channels).
        y: rows, (n, height, width).
        x: columns, (n, height, width).

    Returns:
        float32 of the shape of `images`, in their unit.
    """
    count, height, width, *channels = images.shape
    y, x = tf.clip_by_value(y, -1.0, height) + 1, tf.clip_by_value(x, -1.0, width) + 1
    top, left = tf.minimum(tf.floor(y), height), tf.minimum(tf.floor(x), width)
    down, right = y - top, x - left
    if channels:
        down, right = down[..., None], right[..., None]
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], *[[0, 0]] * len(channels)])
    pixels = tf.reshape(padded, (-1, *channels))
    row = width + 2
    start = tf.range(count)[:, None, None] * ((height + 2) * row)
    position = start + tf.cast(top, tf.int32) * row + tf.cast(left, tf.int32)

    def corner(offset: int) -> tf.Tensor:
        return tf.cast(tf.gather(pixels, position + offset), tf.float32)

    above = corner(0) + (corner(1) - corner(0)) * right
    below = corner(row) + (corner(row + 1) - corner(row)) * right
    return above + (below - above) * down


def spline_weights(length: int, spacing: float) -> Array:
    """Return the weights (length, points) of control points `spacing` pixels apart for each pixel: a cubic B-spline.

    The weights are not negative and sum to 1, so that no pixel moves further than the control points. The resulting
    displacement is twice continuously differentiable.
    """
    points = ceil((length - 1) / spacing) + 3
    pixels = (np.arange(length) - (length - 1) / 2) / spacing + (points - 1) / 2
    distance = np.abs(pixels[:, None] - np.arange(points))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    weights: Array = np.where(distance < 1, near, far).astype(np.float32)
    return weights


def uniform(key: tf.Tensor, stream: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Return uniform float32 numbers in [-1, 1) of the given shape."""
    count = prod(shape)
    words = tf.concat(threefry(key, stream, (count + 1) // 2), 0)[:count]
    # A signed number of 24 bits is exact in float32, and converts faster than an unsigned one.
    whole = tf.cast(tf.bitcast(tf.bitwise.right_shift(words, 8), tf.int32), tf.float32)
    return tf.reshape(whole * 2.0**-23 - 1, shape)


def unit_uniform(seed: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Return what ``tf.random.stateless_uniform(shape, seed, alg="threefry")`` returns inside XLA, outside XLA too.

    XLA puts the two words of each counter next to each other along the first even dimension, or the largest one if all
    are odd, and cuts off what is too much.

    Args:
        seed: (2,) int32.
        shape: the shape, at least one dimension.

    Returns:
        float32 in [0, 1).
    """
    even = [dimension for dimension, size in enumerate(shape) if size % 2 == 0]
    split = even[0] if even else shape.index(max(shape))
    half = [*shape[:split], (shape[split] + 1) // 2, *shape[split + 1 :]]
    words = threefry(tf.bitcast(seed, tf.uint32), tf.constant(0, tf.uint32), prod(half))
    pairs = tf.stack([tf.reshape(word, half) for word in words], split + 1)
    whole = tf.reshape(pairs, [*half[:split], 2 * half[split], *half[split + 1 :]])
    bits = tf.bitwise.right_shift(tf.slice(whole, [0] * len(shape), shape), 9) | 0x3F800000  # a float32 in [1, 2)
    return tf.bitcast(bits, tf.float32) - 1


def threefry(key: tf.Tensor, stream: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return Threefry-2x32 with 20 rounds (Salmon et al. 2011) of the counters (0, stream), (1, stream), ...

    Args:
        key: (2,) uint32.
        stream: second word of each counter, uint32.
        count: number of counters.

    Returns:
        The two words of each counter, (count,) uint32 each.
    """
    return threefry_block(key, tf.constant(np.arange(count, dtype=np.uint32)), tf.fill((count,), stream))


def threefry_block(key: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the pairs (`first`, `second`), uint32, encrypted with `key`."""
    xor = tf.bitwise.bitwise_xor
    keys = (key[0], key[1], xor(xor(key[0], key[1]), _PARITY))
    first, second = first + keys[0], second + keys[1]
    for group in range(5):
        for bits in _ROTATIONS[group % 2]:
            first += second
            rotated = tf.bitwise.bitwise_or(
                tf.bitwise.left_shift(second, bits), tf.bitwise.right_shift(second, 32 - bits)
            )
            second = xor(first, rotated)
        first += keys[(group + 1) % 3]
        second += keys[(group + 2) % 3] + tf.constant(group + 1, tf.uint32)
    return first, second
