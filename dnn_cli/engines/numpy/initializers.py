"""Initial weights without TensorFlow, equal to those that Keras draws on TensorFlow from the same seed.

TensorFlow's stateless random numbers are the blocks of Philox 4×32-10 (Salmon et al. 2011: "Parallel random numbers: as
easy as 1, 2, 3"); key and counter are computed from the seed by the same function. Uniform numbers are its bits, so
they are equal to the last one. Normal numbers need logarithm, sine and cosine, and are equal up to rounding.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np

from dnn_cli.typing import Array

Draw = Callable[[int, int], Array]

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
SEED_KEY = (0x3EC8F720, 0x02461E29)  # TensorFlow encrypts a seed with this key to get key and counter
SEED_MODULUS = 2**31 - 2  # Keras reduces seeds modulo this number
SLAB = 2**18  # blocks of four numbers that are computed at once, with 40 MB of temporary arrays
BLOCKS_APART = 256  # blocks that TensorFlow reserves for four truncated normal numbers
TRUNCATED_DEVIATION = 0.87962566103423978  # standard deviation of the normal distribution truncated to [-2, 2]


def kernel(initializer: str, shape: tuple[int, int], seed: int) -> Array:
    """Return the weights (inputs, units), float32, that Keras draws from `seed`, for one of `INITIALIZERS`."""
    return INITIALIZERS[initializer](shape, seed)


def uniform(count: int, seed: int) -> Array:
    """Return `count` uniform numbers in [0, 1), float32, as ``tf.random.stateless_uniform`` does."""
    return _fill(count, lambda blocks: _unit(_random_blocks(blocks, seed)))


def normal(count: int, seed: int) -> Array:
    """Return `count` normal numbers, float32, as ``tf.random.stateless_normal`` does up to rounding."""
    return _fill(count, lambda blocks: _box_muller(_random_blocks(blocks, seed)))


def truncated_normal(count: int, seed: int) -> Array:
    """Return `count` normal numbers in (-2, 2), float32, as ``tf.random.stateless_truncated_normal`` up to rounding.

    Every four numbers are the first four of their own blocks that lie within the limits.
    """

    def draw(blocks: Array, tries: int = 8) -> Array:
        own = (BLOCKS_APART * blocks[:, None] + np.arange(tries, dtype=np.uint64)).ravel()
        drawn = _box_muller(_random_blocks(own, seed)).reshape(len(blocks), 4 * tries)
        within = np.abs(drawn) < 2
        if (within.sum(axis=1) < 4).any():
            return draw(blocks, 2 * tries)
        first = np.argsort(~within, axis=1, kind="stable")[:, :4]
        return np.take_along_axis(drawn, first, axis=1)

    return _fill(count, draw, SLAB // 8)


def _fill(count: int, draw: Callable[[Array], Array], slab: int = SLAB) -> Array:
    """Return `count` numbers, four from each block, drawn in slabs of blocks."""
    numbers, total = np.empty(count, np.float32), -(-count // 4)
    for start in range(0, total, slab):
        drawn = draw(np.arange(start, min(start + slab, total), dtype=np.uint64)).ravel()
        numbers[4 * start : 4 * (start + slab)] = drawn[: count - 4 * start]
    return numbers


def _random_blocks(blocks: Array, seed: int) -> Array:
    """Return the four 32-bit words (n, 4) of each of the blocks numbered `blocks` (n,)."""
    mixed = _philox(np.array([[seed % SEED_MODULUS, 0, 0, 0]], np.uint64), *SEED_KEY)[0]
    counters = np.empty((len(blocks), 4), np.uint64)
    counters[:, 0], counters[:, 1] = blocks & np.uint64(0xFFFFFFFF), blocks >> np.uint64(32)
    counters[:, 2:] = mixed[2:]
    return _philox(counters, int(mixed[0]), int(mixed[1]))


def _philox(counters: Array, *key: int) -> Array:
    """Return Philox 4×32-10 of counters (n, 4) under a key of two words; 32-bit words are stored as uint64."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a, b, c, d = counters.T
    for number in range(ROUNDS):
        keys = [np.uint64((one + number * step) % 2**32) for one, step in zip(key, KEY_STEPS, strict=True)]
        first, second = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c
        a, b, c, d = (second >> half) ^ b ^ keys[0], second & low, (first >> half) ^ d ^ keys[1], first & low
    return np.stack((a, b, c, d), axis=1)


def _unit(bits: Array) -> Array:
    """Return the lowest 23 bits of 32-bit words as the fraction of a float32 in [1, 2), minus 1."""
    return ((bits.astype(np.uint32) & np.uint32(0x7FFFFF)) | np.uint32(0x3F800000)).view(np.float32) - np.float32(1)


def _box_muller(bits: Array) -> Array:
    """Return normal numbers, float32: each pair of uniform numbers gives a pair (Box & Muller 1958)."""
    pairs = _unit(bits).reshape(-1, 2)
    radius = np.sqrt(np.float32(-2) * np.log(np.maximum(pairs[:, 0], np.float32(1e-7))))
    angle = np.float32(2 * np.pi) * pairs[:, 1]
    numbers: Array = (radius * np.stack((np.sin(angle), np.cos(angle)))).T.ravel()
    return numbers


def _between(limit: float, shape: tuple[int, int], seed: int) -> Array:
    """Return uniform numbers in [-limit, limit), computed in float32 as TensorFlow does."""
    low, high = np.float32(-limit), np.float32(limit)
    return (uniform(shape[0] * shape[1], seed) * (high - low) + low).reshape(shape)


def _around(deviation: float, draw: Draw) -> Callable[[tuple[int, int], int], Array]:
    """Return an initializer that draws numbers of this standard deviation and mean 0."""
    return lambda shape, seed: (draw(shape[0] * shape[1], seed) * np.float32(deviation)).reshape(shape)


def _scaled(scale: float, inputs_only: bool, spread: str) -> Callable[[tuple[int, int], int], Array]:
    """Return an initializer of variance `scale` / inputs, or `scale` / mean of inputs and units (Glorot, He, LeCun)."""

    def initialize(shape: tuple[int, int], seed: int) -> Array:
        variance = scale / max(1.0, shape[0] if inputs_only else sum(shape) / 2)
        if spread == "uniform":
            return _between(sqrt(3 * variance), shape, seed)
        return _around(sqrt(variance) / TRUNCATED_DEVIATION, truncated_normal)(shape, seed)

    return initialize


INITIALIZERS: dict[str, Callable[[tuple[int, int], int], Array]] = {
    "glorot_uniform": _scaled(1, inputs_only=False, spread="uniform"),
    "glorot_normal": _scaled(1, inputs_only=False, spread="normal"),
    "he_uniform": _scaled(2, inputs_only=True, spread="uniform"),
    "he_normal": _scaled(2, inputs_only=True, spread="normal"),
    "lecun_uniform": _scaled(1, inputs_only=True, spread="uniform"),
    "lecun_normal": _scaled(1, inputs_only=True, spread="normal"),
    "variance_scaling": _scaled(1, inputs_only=True, spread="normal"),
    "random_uniform": lambda shape, seed: _between(0.05, shape, seed),
    "random_normal": _around(0.05, normal),
    "truncated_normal": _around(0.05, truncated_normal),
    "identity": lambda shape, seed: np.eye(*shape, dtype=np.float32),
}
