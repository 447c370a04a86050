"""Make up pictures that show no digit: letters, scribble, spoiled digits, blots and textures, in the format of MNIST.

All are a function of the generator and of the digits.
"""

from collections.abc import Callable

import numpy as np

from dnn_cli.data.digit_normalization import IMAGE_SIDE
from dnn_cli.evaluation.refusal import drawing, shapes
from dnn_cli.typing import Array

Random = np.random.Generator

SERIFS = 0.25  # share of the letters that are drawn with serifs
SCRIBBLES = 40  # plans of strokes, each for many scribbles
SYMMETRIC = {  # digits that a mirror, or a quarter turn, may make another digit of
    "left-right": (0, 1, 2, 5, 8),
    "up-down": (0, 1, 2, 3, 5, 8),
    "left": (0,),
    "right": (0,),
}


def pictures(count: int, digits: Array, labels: Array, random: Random) -> Array:
    """Return about `count` pictures that show no digit, (m, 28, 28) uint8.

    Args:
        count: number of pictures.
        digits: (n, 28, 28) uint8, some of which are spoiled.
        labels: (n,) the digits that they show.
        random: draws everything.
    """
    spoiled: dict[Callable[[int, Array, Array, Random], Array], float] = {
        _turned: 0.08,
        _of_two_halves: 0.04,
        _side_by_side: 0.03,
        _cut_off: 0.02,
        _crossed: 0.02,
    }
    drawn: dict[Callable[[int, Random], Array], float] = {_letters: 0.6, _scribble: 0.15, _blots: 0.03, _waves: 0.03}
    parts = [make(round(count * share), random) for make, share in drawn.items()]
    parts += [make(round(count * share), digits, labels, random) for make, share in spoiled.items()]
    return np.concatenate(parts)


def digits(count: int, random: Random) -> tuple[Array, Array]:
    """Return about `count` digits as they are printed, (m, 28, 28) uint8, and which they are, (m,).

    They are drawn like the letters: how a picture was made must not tell that it shows no digit.
    """
    points, names = _written(shapes.DIGITS, count, random)
    return drawing.draw(points, random.uniform(0.5, 2.3, len(points))), np.array(names).astype(int)


def _letters(count: int, random: Random) -> Array:
    points, _ = _written(shapes.LETTERS, count, random)
    return drawing.draw(points, random.uniform(0.5, 2.3, len(points)))


def _written(table: str, count: int, random: Random) -> tuple[Array, list[str]]:
    """Return points of the forms of a table as different hands write them, as many of each form, and their names."""
    forms = shapes.forms(table)
    parts, names = [], []
    for name, form in forms:
        each = max(1, count // len(forms))
        with_serifs = round(each * SERIFS)
        parts += [_letter(form, each - with_serifs, random), _letter(form, with_serifs, random, serifs=True)]
        names += [name] * each
    return drawing.deform(np.concatenate(parts), random), names


def _letter(form: list[tuple[bool, Array]], count: int, random: Random, *, serifs: bool = False) -> Array:
    """Return the points of a form of a letter, written `count` times by a shaking hand."""
    strokes = [(smooth, points + random.normal(0, 0.2, (count, *points.shape))) for smooth, points in form]
    ends = [controls[:, end] for _, controls in strokes for end in (0, -1) if serifs and random.random() < 0.6]
    for end in ends:
        half = np.stack([random.uniform(0.4, 1, count), np.zeros(count)], axis=1)
        strokes.append((False, np.stack([end - half, end + half], axis=1)))
    return drawing.trace(strokes)


def _scribble(count: int, random: Random) -> Array:
    """Draw a few strokes that mostly begin where another one bends or ends."""
    each, parts = max(1, count // SCRIBBLES), []
    for _ in range(SCRIBBLES):
        strokes: list[tuple[bool, Array]] = []
        for _ in range(random.integers(2, 5)):
            bends = int(random.choice([2, 2, 3, 4, 5]))
            grid = (random.choice([0, 2, 4], (each, bends)), random.choice([0, 3, 6], (each, bends)))
            controls = np.stack(grid, axis=-1) + random.normal(0, 0.5, (each, bends, 2))
            if strokes and random.random() < 0.7:
                _, other = strokes[random.integers(len(strokes))]
                controls[:, 0] = other[:, random.integers(other.shape[1])]
            strokes.append((bool(random.integers(2)), controls))
        parts.append(drawing.trace(strokes))
    points = drawing.deform(np.concatenate(parts), random)
    return drawing.draw(points, random.uniform(0.6, 1.9, len(points)))


def _turned(count: int, digits: Array, labels: Array, random: Random) -> Array:
    """Mirror digits, or turn them by 90 degrees, where that makes no other digit."""
    turns: dict[str, Callable[[Array], Array]] = {
        "left-right": lambda images: images[:, :, ::-1],
        "up-down": lambda images: images[:, ::-1],
        "left": lambda images: np.rot90(images, 1, (1, 2)),
        "right": lambda images: np.rot90(images, -1, (1, 2)),
    }
    parts = []
    for name, turn in turns.items():
        chosen = random.integers(0, len(digits), count // len(turns))
        parts.append(turn(digits[chosen[~np.isin(labels[chosen], SYMMETRIC[name])]]))
    return np.concatenate(parts)


def _two(count: int, digits: Array, labels: Array, random: Random) -> tuple[Array, Array]:
    """Return pairs of images that show different digits."""
    one, other = random.integers(0, len(digits), (2, count))
    differs = labels[one] != labels[other]
    return digits[one[differs]].copy(), digits[other[differs]]


def _of_two_halves(count: int, digits: Array, labels: Array, random: Random) -> Array:
    one, other = _two(count, digits, labels, random)
    half, is_lower = random.integers(11, 17), random.random(len(one)) < 0.5
    one[is_lower, half:] = other[is_lower, half:]
    one[~is_lower, :, half:] = other[~is_lower, :, half:]
    return drawing.centred(one)


def _side_by_side(count: int, digits: Array, labels: Array, random: Random) -> Array:
    one, other = _two(count, digits, labels, random)
    pair = np.zeros_like(one)
    for half, images in ((slice(4, 14), one), (slice(14, 24), other)):
        pair[:, 4:24, half] = images[:, 4:24, 4:24].reshape(-1, 20, 10, 2).max(axis=3)
    return pair


def _cut_off(count: int, digits: Array, labels: Array, random: Random) -> Array:
    """Erase what lies beyond a line near the middle."""
    images = digits[random.integers(0, len(digits), count)]
    angle, distance = random.uniform(0, 2 * np.pi, count), random.uniform(-1, 3, count)
    y, x = _grid()
    beyond = np.multiply.outer(np.cos(angle), x) + np.multiply.outer(np.sin(angle), y) > distance[:, None, None]
    return drawing.centred(np.where(beyond, 0, images).astype(np.uint8))


def _crossed(count: int, digits: Array, labels: Array, random: Random) -> Array:
    one, other = _two(count, digits, labels, random)
    return np.maximum(one, np.rot90(other, 1, (1, 2)))


def _blots(count: int, random: Random) -> Array:
    """Return noise that is blurred, from fine to coarse, and hard or soft at its edges."""
    frequency = np.fft.fftfreq(IMAGE_SIDE)
    squares = np.add.outer(frequency**2, frequency**2)
    width = random.uniform(0.3, 3.5, count)[:, None, None]
    noise = random.normal(size=(count, IMAGE_SIDE, IMAGE_SIDE))
    noise = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-2 * (np.pi * width) ** 2 * squares)).real
    noise -= noise.mean(axis=(1, 2), keepdims=True)
    noise /= noise.std(axis=(1, 2), keepdims=True)
    blots = _grey(noise - random.uniform(-1, 1.5, count)[:, None, None], random.choice([0.5, 1.5, 6], count))
    y, x = _grid()
    blots[random.random(count) < 0.5] *= (np.abs(x) < 10) & (np.abs(y) < 10)
    return blots


def _waves(count: int, random: Random) -> Array:
    """Return stripes and checks."""
    y, x = _grid()
    angle, frequency = random.uniform(0, np.pi, count), random.uniform(0.2, 1.6, count)
    phase = random.uniform(0, 2 * np.pi, (2, count, 1, 1))
    cosine, sine = (frequency * np.cos(angle), frequency * np.sin(angle))
    along = np.multiply.outer(cosine, x) + np.multiply.outer(sine, y) + phase[0]
    across = np.multiply.outer(cosine, y) - np.multiply.outer(sine, x) + phase[1]
    is_checked = random.random(count)[:, None, None] < 0.5
    wave = np.sin(along) * np.where(is_checked, np.sin(across), 1)
    return _grey(wave - random.uniform(-0.7, 0.7, count)[:, None, None], random.choice([1.5, 6, 27], count))


def _grid() -> tuple[Array, Array]:
    """Return y and x of each pixel, from the middle."""
    y, x = np.mgrid[:IMAGE_SIDE, :IMAGE_SIDE] - (IMAGE_SIDE - 1) / 2
    return y, x


def _grey(values: Array, contrast: Array) -> Array:
    """Return grey levels, uint8, of values around 0 by the logistic function."""
    grey: Array = (255 / (1 + np.exp(-contrast[:, None, None] * values))).astype(np.uint8)
    return grey
