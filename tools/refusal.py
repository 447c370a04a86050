"""Measure which pictures are refused as no digit, print a table, and draw the chart of the documentation.

``python tools/refusal.py runs/mnist-1 --out docs/_static/refusal.svg`` takes a minute. The digits are the test images
of MNIST, the printed letters those of the fonts of Matplotlib. ``--omniglot FOLDER`` adds handwritten letters from the
folder ``images_background_small1`` of Omniglot (Lake, Salakhutdinov & Tenenbaum), which is not part of this project.

The border is the one that the detector of the run was given on training digits: no test digit and no letter of the
chart plays a part in it.
"""

import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dnn_cli.data import datasets, image_files
from dnn_cli.data.datasets import Split
from dnn_cli.engines.numpy import build, keras_format
from dnn_cli.engines.numpy.network import Dense
from dnn_cli.errors import DataError
from dnn_cli.evaluation import evaluate, model_source
from dnn_cli.evaluation.model_source import ModelSource
from dnn_cli.evaluation.refusal import of_run
from dnn_cli.files import write_atomically
from dnn_cli.reporting.figures import new_figure, save, styled
from dnn_cli.reporting.palette import BLUE, LIGHT, VERMILION
from dnn_cli.typing import Array

AMBIGUOUS = frozenset("OoIilZzSsgqBb")  # printed or written alone, a person may take these letters for digits
FONTS = ("DejaVuSans", "DejaVuSerif", "cmr10", "cmss10", "cmtt10", "cmb10", "STIXGeneral")
SIDE = 240  # pixels along a side of the picture of a letter
LARGEST_SHARE = 0.1  # of digits refused, in the chart
DIMENSIONS = 40  # of the plane of a class

Score = Callable[[Array], Array]  # of images (n, 28, 28): (n,) higher for what is no digit


@dataclass(frozen=True)
class Kind:
    """Pictures of one kind that show no digit.

    Attributes:
        name: its name in the table and the chart.
        images: (n, 28, 28) uint8, prepared as for a network.
    """

    name: str
    images: Array


def printed(name: str, letters: Iterable[str]) -> Kind:
    """Draw letters or digits in Matplotlib's fonts."""
    files = sorted(Path(mpl.get_data_path(), "fonts", "ttf").glob("*.ttf"))
    fonts = [ImageFont.truetype(str(file), SIDE // 2) for file in files if _is_text(file)]
    found = []
    for font in fonts:
        for letter in sorted(letters):
            picture = Image.new("L", (SIDE, SIDE), 255)
            ImageDraw.Draw(picture).text((SIDE // 4, SIDE // 6), letter, font=font, fill=20)
            found += _prepared(picture)
    return Kind(name, np.array(found))


def _is_text(file: Path) -> bool:
    return file.stem.startswith(FONTS) and "Display" not in file.stem


def handwritten(folder: Path, *, clear: bool) -> Kind:
    """Read the Latin letters of Omniglot, a to z, with or without those that look like digits."""
    found = []
    # character01 is a, and so on.
    for letter, files in zip(string.ascii_lowercase, sorted(folder.glob("Latin/character*")), strict=True):
        if not (clear and letter in AMBIGUOUS):
            for file in sorted(files.glob("*.png")):
                found += _prepared(_enlarged(file))
    return Kind(f"handwritten letters{', clear' if clear else ''}", np.array(found))


def alphabets(folder: Path) -> Kind:
    """Read the characters of the other alphabets of Omniglot, some of which look like digits."""
    files = [file for file in sorted(folder.glob("*/character*/*.png")) if file.parts[-3] != "Latin"]
    names = ", ".join(sorted({file.parts[-3].replace("_", " ") for file in files}))
    return Kind(f"handwritten: {names}", np.array([image for file in files for image in _prepared(_enlarged(file))]))


def _enlarged(file: Path) -> Image.Image:
    with Image.open(file) as drawn:
        large = drawn.convert("L").resize((2 * drawn.width, 2 * drawn.height))
    picture = Image.new("L", (large.width + 80, large.height + 80), 255)
    picture.paste(large, (40, 40))
    return picture


def _prepared(picture: Image.Image) -> list[Array]:
    """Return what a network sees of a picture, if that is one thing."""
    try:
        found = image_files.normalize_image(picture, 28, "a picture")
    except DataError:
        return []
    return [found[0].image] if len(found) == 1 else []


def noise(count: int = 300) -> Kind:
    """Draw noise of each pixel, and noise that is blurred."""
    random = np.random.default_rng(1)
    found = [random.integers(0, 256, (28, 28)) for _ in range(count // 2)]
    for size in random.integers(4, 15, count - count // 2):
        coarse = Image.fromarray(random.integers(0, 256, (size, size), dtype=np.uint8))
        found.append(np.asarray(coarse.resize((28, 28), Image.Resampling.BICUBIC)))
    return Kind("noise", np.array(found, np.uint8))


def textures(count: int = 300) -> Kind:
    """Draw stripes, checks, rings and slopes."""
    return Kind("textures", np.array(list(_textures(count, np.random.default_rng(2)))).astype(np.uint8))


def _textures(count: int, random: np.random.Generator) -> Iterator[Array]:
    y, x = np.mgrid[:28, :28]
    for number in range(count):
        frequency, angle = random.uniform(0.2, 1.5), random.uniform(0, np.pi)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        middle = random.uniform(0, 28, 2)
        yield (
            255
            * (
                0.5 + 0.5 * np.sin(frequency * along),
                np.sin(frequency * along) * np.sin(frequency * across) > 0,
                0.5 + 0.5 * np.sin(frequency * np.hypot(x - middle[0], y - middle[1])),
                (along - along.min()) / (along.max() - along.min()),
            )[number % 4]
        )


def by_probability(source: ModelSource) -> Score:
    """Return the score of how far the highest probability of each image is from 1."""
    return lambda images: 1 - model_source.probabilities(source.file, images).max(axis=1)


def by_distance(source: ModelSource, training: Split) -> Score:
    """Return the score by the Mahalanobis distance in the last hidden layer to the nearest mean of a class."""
    loaded = keras_format.load(source.file)

    def hidden(images: Array) -> Array:
        parts = []
        for start in range(0, len(images), loaded.batch):
            loaded.network.forward(build.rows_of(images[start : start + loaded.batch]))
            last = loaded.network.layers[-1]
            assert isinstance(last, Dense)
            parts.append(last.x.astype(np.float64))
        return np.concatenate(parts)

    outputs = hidden(training.images)
    means = np.stack([outputs[training.labels == label].mean(axis=0) for label in range(10)])
    spread = np.cov((outputs - means[training.labels]).T) + 1e-6 * np.eye(outputs.shape[1])
    whiten = np.linalg.cholesky(np.linalg.inv(spread))

    def score(images: Array) -> Array:
        whitened = hidden(images) @ whiten
        distances = [((whitened - mean @ whiten) ** 2).sum(axis=1) for mean in means]
        return np.asarray(np.min(distances, axis=0))

    return score


def by_residual(training: Split) -> Score:
    """Return the score by the distance of the pixels to the nearest of the main planes of the classes."""
    planes = []
    for label in range(10):
        rows = build.rows_of(training.images[training.labels == label])
        mean = rows.mean(axis=0)
        planes.append((mean, np.linalg.eigh(np.cov((rows - mean).T))[1][:, -DIMENSIONS:].astype(np.float32)))

    def score(images: Array) -> Array:
        rows = build.rows_of(images)
        parts = [rows - mean - ((rows - mean) @ plane) @ plane.T for mean, plane in planes]
        return np.asarray(np.min([(part**2).sum(axis=1) for part in parts], axis=0))

    return score


def chart(scores: dict[str, Score], digits: Array, kinds: list[Kind], out: Path) -> None:
    """Draw the share of digits refused against the share of other pictures accepted, for every border."""
    (_, ours), *others = scores.items()
    with styled():
        figure = new_figure(6.2, 3.6)
        axes = figure.subplots()
        for kind, colour in zip(kinds, (BLUE, VERMILION, LIGHT.ink), strict=False):
            axes.plot(*_curve(ours, digits, kind), color=colour, label=kind.name)
        for (name, score), dashes in zip(others, ((4, 1), (1, 1), (6, 2, 1, 2)), strict=True):
            axes.plot(*_curve(score, digits, kinds[0]), color=LIGHT.faint, dashes=dashes, linewidth=1, label=name)
        axes.axvline(100 * (ours(digits) > 0).mean(), color=LIGHT.faint, linewidth=0.8)
        axes.set(xlabel="test digits refused, %", ylim=(0, 100), xlim=(0, 100 * LARGEST_SHARE))
        axes.set_title("pictures accepted that show no digit, %")
        axes.legend(loc="upper right")
        write_atomically(out, save(figure, "svg"))


def _curve(score: Score, digits: Array, kind: Kind) -> tuple[Array, Array]:
    """Return the percentages of digits refused and of other pictures accepted."""
    shares = np.linspace(0, LARGEST_SHARE, 201)
    others = score(kind.images)
    return 100 * shares, np.array([100 * (others <= border).mean() for border in _borders(score, digits, shares)])


def _borders(score: Score, digits: Array, shares: Array) -> Array:
    """Return the scores above which these shares of the digits are refused."""
    return np.asarray(np.quantile(score(digits), 1 - shares))


@click.command
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--omniglot", type=click.Path(path_type=Path, exists=True), help="Folder images_background_small1.")
@click.option("--out", type=click.Path(path_type=Path), help="Draw the chart into this SVG file.")
def main(run: Path, omniglot: Path | None, out: Path | None) -> None:
    """Print the share of refused pictures of each kind with the detector of RUN, which was trained on MNIST."""
    source = model_source.find_model(run)
    detector = of_run.find(source, click.echo)
    if detector is None:
        raise click.UsageError(f"{run} was not trained on digits in the format of MNIST, or their images are missing")
    digits = datasets.find("mnist", split="test").load("test").images
    _, training, _ = evaluate.material(source, "train")
    scores = {
        "the detector": detector.scores,
        "highest probability": by_probability(source),
        "distance in the last hidden layer": by_distance(source, training),
        "distance to the planes of the classes": by_residual(training),
    }
    letters = set(string.ascii_letters)
    clear = [
        printed("printed letters, clear", letters - AMBIGUOUS),
        *([handwritten(omniglot, clear=True)] if omniglot else []),
        noise(),
        textures(),
    ]
    everything = [printed("printed digits", string.digits), printed("printed letters", letters)]
    if omniglot:
        everything += [handwritten(omniglot, clear=False), alphabets(omniglot)]
    refused = (detector.scores(digits) > 0).mean()
    click.echo(f"{refused:.2%} of the test digits are refused\n")
    click.echo(f"| pictures | number | {' | '.join(scores)} |\n| --- | ---: | {' | '.join(['---:'] * len(scores))} |")
    borders = [_borders(score, digits, refused) for score in scores.values()]
    for kind in (*clear, *everything):
        shares = [(score(kind.images) > border).mean() for score, border in zip(scores.values(), borders, strict=True)]
        click.echo(f"| {kind.name} | {len(kind.images):,} | {' | '.join(f'{share:.1%}' for share in shares)} |")
    if out:
        chart(scores, digits, clear, out)


if __name__ == "__main__":
    main()
