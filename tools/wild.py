"""Draw handwritten digits as people scan and photograph them, and print how well a network reads the pictures.

``python tools/wild.py runs/mnist-1`` takes a few minutes; ``--count`` limits the digits of each condition. The digits
are training images of MNIST: the test images stay unseen. ``--save FOLDER`` writes the first pictures of each condition
as PNG files.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from PIL import Image

from dnn_cli.data import datasets
from dnn_cli.errors import DataError
from dnn_cli.evaluation import predict
from dnn_cli.typing import Array

SEED = 0
SAVED = 6  # pictures of each condition that --save writes
SIDE = 240  # pixels along a side of most pictures
PAPER, PEN, BLUE = np.array((236, 232, 222)), np.array((45, 45, 60)), np.array((120, 150, 205))

Draw = Callable[[Array, np.random.Generator], Array]


@dataclass(frozen=True)
class Outcome:
    """The answers to the pictures of one condition.

    Attributes:
        condition: its name.
        right: the share of pictures in which exactly the right digit was read.
        refused: the share of pictures without an answer.
        probability: the mean probability of the answers given.
    """

    condition: str
    right: float
    refused: float
    probability: float

    def row(self) -> str:
        """Return a row of the Markdown table."""
        return f"| {self.condition} | {self.right:.3f} | {self.refused:.3f} | {self.probability:.2f} |"


# Strokes and what is drawn besides them: the share of each pixel that is ink, (SIDE, SIDE) float in [0, 1].


def strokes(digit: Array, chance: np.random.Generator, *, thicker: float = 0.0) -> Array:
    """Draw a digit somewhere in the middle; `thicker` is added to its strokes, in pixels of the 28×28 image."""
    side = round(SIDE * chance.uniform(0.5, 0.75))
    large = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255
    if radius := round(abs(thicker) / 2 * side / 28):
        element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        large = np.asarray((cv2.dilate if thicker > 0 else cv2.erode)(large, element))
    ink = np.zeros((SIDE, SIDE), np.float32)
    top, left = (round((SIDE - side) * place) for place in chance.uniform(0.3, 0.7, 2))
    ink[top : top + side, left : left + side] = large
    return ink


def lines(positions: Array, thickness: int, *, upright: bool) -> Array:
    """Draw straight lines from edge to edge of the picture."""
    ink = np.zeros((SIDE, SIDE), np.float32)
    for position in positions.astype(int):
        ink[position : position + thickness] = 1
    return np.asarray(ink.T if upright else ink)


def frame(chance: np.random.Generator) -> Array:
    """Draw a rectangle around the middle of the picture."""
    ink = np.zeros((SIDE, SIDE), np.float32)
    thickness = int(chance.integers(2, 7))
    near, far = (tuple(chance.integers(low, high, 2).tolist()) for low, high in ((6, 25), (SIDE - 26, SIDE - 7)))
    cv2.rectangle(ink, near, far, 1.0, thickness)
    return ink


def dark_edge(chance: np.random.Generator) -> Array:
    """Draw the dark strip that a scanner leaves beyond one or two sides of the sheet."""
    ink = np.zeros((SIDE, SIDE), np.float32)
    for side in chance.permutation(4)[: chance.integers(1, 3)]:
        depth = int(chance.integers(6, 24))
        ragged = depth + np.cumsum(chance.normal(0, 0.4, SIDE)).clip(-4, 4)
        strip = np.clip(ragged[None] - np.arange(SIDE)[:, None], 0, 1)
        ink = np.maximum(ink, np.rot90(strip, side))
    return np.asarray(ink, np.float32)


def holes(chance: np.random.Generator) -> Array:
    """Draw two punched holes at the left margin."""
    ink = np.zeros((SIDE, SIDE), np.float32)
    column, radius = int(chance.integers(14, 24)), int(chance.integers(9, 14))
    for row in (SIDE // 4, 3 * SIDE // 4):
        cv2.circle(ink, (column, row + int(chance.integers(-8, 8))), radius, 1.0, -1, cv2.LINE_AA)
    return ink


# Light: factors of the brightness, (SIDE, SIDE) float.


def shadow(chance: np.random.Generator) -> Array:
    """Return the light under the shadow of a hand or a phone: a dark half plane with a more or less soft edge."""
    angle, y, x = chance.uniform(0, 2 * np.pi), *np.mgrid[:SIDE, :SIDE]
    distance = (x - SIDE / 2) * np.cos(angle) + (y - SIDE / 2) * np.sin(angle) + chance.uniform(-60, 60)
    return np.asarray(1 - chance.uniform(0.25, 0.5) / (1 + np.exp(-distance / chance.uniform(1.5, 12))))


def crumpled(chance: np.random.Generator) -> Array:
    """Return the light on crumpled paper: soft patches, and creases between them."""
    patches = cv2.resize(
        chance.uniform(0.65, 1, (5, 5)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )
    light = patches.clip(0.5, 1.05)
    for _ in range(4):
        angle, y, x = chance.uniform(0, np.pi), *np.mgrid[:SIDE, :SIDE]
        distance = (x - SIDE / 2) * np.cos(angle) + (y - SIDE / 2) * np.sin(angle) + chance.uniform(-100, 100)
        light *= 1 - chance.uniform(0.05, 0.15) * np.tanh(distance / 15) * np.exp(-np.abs(distance) / 25)
    return np.asarray(light)


def stain(chance: np.random.Generator) -> Array:
    """Return the light on paper with a stain of coffee: a blob with a darker rim."""
    y, x = np.mgrid[:SIDE, :SIDE]
    row, column = chance.uniform(40, SIDE - 40, 2)
    radius = chance.uniform(30, 70)
    distance = np.hypot(y - row, x - column) - radius * (1 + 0.1 * np.sin(3 * np.arctan2(y - row, x - column)))
    inside = 1 / (1 + np.exp(distance / 3))
    return np.asarray(1 - 0.15 * inside - 0.12 * np.exp(-((distance / 3) ** 2)))


# Pictures: (height, width, 3) uint8.


def picture(
    ink: Array, chance: np.random.Generator, *, light: Array | float = 1.0, paper: Array = PAPER, pen: Array = PEN
) -> Array:
    """Return ink on paper in some light, with a little noise."""
    colours = (paper + (pen - paper) * ink[..., None]) * np.broadcast_to(light, ink.shape)[..., None]
    return np.asarray(np.clip(colours + chance.normal(0, 2.5, colours.shape), 0, 255), np.uint8)


def on_lines(digit: Array, chance: np.random.Generator, colour: Array, *, squared: bool) -> Array:
    """Return a digit on ruled or squared paper."""
    spacing, thickness = int(chance.integers(24, 60)), int(chance.integers(1, 4))
    positions = np.arange(chance.integers(0, spacing), SIDE - thickness, spacing)
    rules = lines(positions, thickness, upright=False)
    if squared:
        rules = np.maximum(rules, lines(positions, thickness, upright=True))
    paper = PAPER + (colour - PAPER) * rules[..., None]
    return picture(strokes(digit, chance), chance, paper=paper)


def turned(pixels: Array, degrees: float) -> Array:
    """Return a picture turned about its middle."""
    turning = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), degrees, 1)
    return np.asarray(
        cv2.warpAffine(pixels, turning, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def askew_frame(digit: Array, chance: np.random.Generator) -> Array:
    """Return a digit in a frame, all turned by a few degrees."""
    return turned(picture(np.maximum(strokes(digit, chance), frame(chance)), chance), chance.uniform(-6, 6))


def on_a_table(digit: Array, chance: np.random.Generator) -> Array:
    """Return a light sheet with a digit on a dark table."""
    sheet, y, x = picture(strokes(digit, chance), chance), *np.mgrid[:SIDE, :SIDE]
    top, left, bottom, right = chance.integers(4, 20, 4)
    beyond = (y < top) | (y >= SIDE - bottom) | (x < left) | (x >= SIDE - right)
    sheet[beyond] = np.clip(chance.normal(70, 6, (int(beyond.sum()), 3)), 0, 255)
    return turned(sheet, chance.uniform(-3, 3))


CONDITIONS: dict[str, Draw] = {
    "plain": lambda digit, chance: picture(strokes(digit, chance), chance),
    "frame": lambda digit, chance: picture(np.maximum(strokes(digit, chance), frame(chance)), chance),
    "frame, askew": askew_frame,
    "dark edge of a scan": lambda digit, chance: picture(np.maximum(strokes(digit, chance), dark_edge(chance)), chance),
    "sheet on a dark table": on_a_table,
    "ruled, blue": lambda digit, chance: on_lines(digit, chance, BLUE, squared=False),
    "ruled, dark": lambda digit, chance: on_lines(digit, chance, PEN, squared=False),
    "squared, blue": lambda digit, chance: on_lines(digit, chance, BLUE, squared=True),
    "squared, dark": lambda digit, chance: on_lines(digit, chance, PEN, squared=True),
    "ruled, askew": lambda digit, chance: turned(
        on_lines(digit, chance, PEN, squared=False), chance.choice([-1, 1]) * chance.uniform(3, 10)
    ),
    "shadow": lambda digit, chance: picture(strokes(digit, chance), chance, light=shadow(chance)),
    "crumpled": lambda digit, chance: picture(strokes(digit, chance), chance, light=crumpled(chance)),
    "stain": lambda digit, chance: picture(strokes(digit, chance), chance, light=stain(chance)),
    "punched holes": lambda digit, chance: picture(np.maximum(strokes(digit, chance), holes(chance)), chance),
    "10° askew": lambda digit, chance: turned(picture(strokes(digit, chance), chance), chance.choice([-10.0, 10.0])),
    "pale pencil": lambda digit, chance: picture(
        strokes(digit, chance, thicker=-0.7) * chance.uniform(0.6, 1, (SIDE, SIDE)), chance, pen=PAPER - 75
    ),
    "felt pen": lambda digit, chance: picture(strokes(digit, chance, thicker=2.5), chance),
    "ballpoint": lambda digit, chance: picture(strokes(digit, chance, thicker=-1.3), chance),
}


def as_scanned(pixels: Array) -> Image.Image:
    """Return a picture as it comes from a JPEG file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=85)
    return Image.open(content)


def measure(run: Path, condition: str, digits: Array, labels: Array, save: Path | None) -> Outcome:
    """Draw every digit under a condition and let the network read the pictures."""
    chance = np.random.default_rng([SEED, list(CONDITIONS).index(condition)])
    pictures = [as_scanned(CONDITIONS[condition](digit, chance)) for digit in digits]
    for number, one in enumerate(pictures[: SAVED if save else 0]):
        one.save(Path(save or "", f"{condition.replace(' ', '-').replace(',', '')}-{number}.png"))
    answers = [_answer(run, one) for one in pictures]
    given = [probability for digit, probability in answers if digit is not None]
    right = [digit == label for (digit, _), label in zip(answers, labels.tolist(), strict=True)]
    return Outcome(
        condition,
        right=float(np.mean(right)),
        refused=1 - len(given) / len(answers),
        probability=float(np.mean(given)) if given else 0.0,
    )


def _answer(run: Path, one: Image.Image) -> tuple[int | None, float]:
    """Return the only digit found in a picture, and its probability; None without an answer, -1 for several digits."""
    try:
        found = predict.predict_images(run, one, notify=lambda _: None)
    except DataError:
        return None, 0.0
    if len(found) > 1:
        return -1, float(min(each.probabilities.max() for each in found))
    return None if found[0].reason else found[0].digit, float(found[0].probabilities.max())


@click.command
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--count", default=1000, show_default=True, help="Digits of each condition.")
@click.option("--only", multiple=True, type=click.Choice(list(CONDITIONS)), help="Condition to draw; may be repeated.")
@click.option("--save", type=click.Path(path_type=Path, file_okay=False), help="Folder for the first pictures.")
def main(run: Path, count: int, only: tuple[str, ...], save: Path | None) -> None:
    """Print a Markdown table of how well the network of RUN reads MNIST's training digits under each condition."""
    if save:
        save.mkdir(parents=True, exist_ok=True)
    everything = datasets.find("mnist").load("train")
    chosen = np.random.default_rng(SEED).permutation(len(everything.labels))[:count]
    click.echo("| condition | right | refused | mean probability |\n| --- | ---: | ---: | ---: |")
    for condition in only or CONDITIONS:
        click.echo(measure(run, condition, everything.images[chosen], everything.labels[chosen], save).row())


if __name__ == "__main__":
    main()
