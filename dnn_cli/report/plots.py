"""The pictures of a report: matplotlib figures, and each of them as SVG or PNG, the same bytes each time.

No figure depends on the user's matplotlib settings. Colours are Okabe and Ito's (2008), which colour-blind people tell
apart, and nothing is told by colour alone. In a page they are CSS variables, so that a picture is as light or dark as
the page is; what is drawn of single pixels is transparent, or stands on a plate of its own.
"""

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dnn_cli.data.pixels import to_unit_range
from dnn_cli.report.unit_activity import LayerActivity
from dnn_cli.stats import wilson
from dnn_cli.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["svg", "png"]

INK, FAINT, GRID = "#1f2329", "#6b7380", "#d9dde3"
BLUE, VERMILION, GREEN, PURPLE, AMBER, SKY = "#0072b2", "#d55e00", "#009e73", "#b8578f", "#b87700", "#3a94c9"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, AMBER, SKY)
VARIABLES = {
    INK: "--ink",
    FAINT: "--faint",
    GRID: "--grid",
    **{color: f"--series-{number}" for number, color in enumerate(SERIES, start=1)},
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dnn",
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # a run's name may hold dollars
    "axes.facecolor": "none",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelcolor": FAINT,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 2.5,
    "ytick.major.size": 0,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
}

Scale = Literal["linear", "log", "zero"]
CURVES: dict[str, tuple[str, Scale]] = {  # a figure of the history → its title, and its scale
    "loss": ("loss", "log"),
    "accuracy": ("accuracy", "linear"),
    "learning_rate": ("learning rate", "zero"),
    "seconds": ("seconds an epoch", "zero"),
}
POINTS = 4000  # of all lines of a figure together: more than anybody can see
DOTTED = 30  # epochs, up to which each is a dot
MATRIX_CLASSES = 20  # up to which a confusion matrix has room for its counts
SIDE = 64  # pixels of a picture's longer side; larger ones are made smaller
WEIGHTS = 128  # units of which the weights are shown, and pixels of them all together
WEIGHT_PIXELS = 200_000
COLUMNS = 16
NO_SOFTWARE: dict[str, Any] = {"Software": None}  # matplotlib would name its version
GREYS = 2  # dimensions of an image without colours


@dataclass(frozen=True)
class Line:
    """A figure over the epochs, from the first.

    Attributes:
        label: what it is of.
        values: one an epoch.
        color: one of `SERIES`.
        dashed: whether it is the lesser one of two.
        best: the epoch to be marked, or None.
    """

    label: str
    values: Sequence[float]
    color: str = BLUE
    dashed: bool = False
    best: int | None = None


@contextmanager
def _styled() -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def _figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def curves(title: str, lines: Sequence[Line], *, scale: Scale = "linear", below: bool = False) -> "Figure":
    """Figures over the epochs.

    Args:
        title: what they are.
        lines: one each.
        scale: ``zero`` is linear and begins there; ``log`` is linear where that shows more.
        below: whether the lines have names so long that they go below the picture, each on a line.
    """
    from matplotlib.ticker import MaxNLocator

    with _styled():
        figure = _figure(4.6, 2.6)
        axes = figure.subplots()
        for line in lines:
            _draw(axes, line, POINTS // len(lines))
            if line.best is not None and not line.dashed and not below:
                _mark(axes, line.best, len(line.values))
        named = len([line for line in lines if line.label]) > 1
        axes.set_title(title, pad=20 if named and not below else 8)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.grid(visible=False, axis="x")
        axes.margins(x=0.03)
        values = [value for line in lines for value in line.values]
        if scale == "log" and 0 < 8 * min(values) < max(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(_some)
        if scale == "zero":
            axes.set_ylim(bottom=0)
        if named and below:
            figure.set_figheight(2.6 + 0.16 * len(lines))
            figure.legend(loc="outside lower left", handlelength=1.6)
        elif named:
            axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=3, borderpad=0, handlelength=1.6)
        return figure


def _some(value: float, _: float) -> str:
    """What stands beside a lesser tick of a logarithmic scale: its number, if it begins with 2 or 5."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def _draw(axes: "Axes", line: Line, points: int) -> None:
    count = len(line.values)
    epochs = np.unique(np.linspace(1, count, min(count, max(points, 2))).round().astype(int))
    values = np.asarray(line.values, np.float64)
    axes.plot(
        epochs,
        values[epochs - 1],
        color=line.color,
        linestyle=(0, (3, 1.5)) if line.dashed else "-",
        linewidth=1.2 if line.dashed else 1.6,
        marker="o" if count <= DOTTED else "",
        markersize=2.5,
        label=f"./{line.label}" if line.label.startswith("_") else line.label or None,  # "_" would hide it
    )
    if line.best is not None:
        axes.plot(line.best, values[line.best - 1], "o", markersize=8, markerfacecolor="none", color=line.color)


def _mark(axes: "Axes", best: int, count: int) -> None:
    side: Literal["right", "left"] = "right" if best > count / 2 else "left"
    place = axes.get_xaxis_transform()
    axes.axvline(best, color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.annotate(
        f"best: {best}",
        (best, 1),
        (0, 2),
        xycoords=place,
        textcoords="offset points",
        ha=side,
        va="bottom",
        color=FAINT,
    )


def confusion(matrix: Array, labels: Sequence[int]) -> "Figure":
    """How often each true label was taken for each other one.

    Args:
        matrix: (classes, classes) counts; rows are true labels, columns guesses.
        labels: the classes to show.
    """
    shown = matrix[np.ix_(labels, labels)]
    shares = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
    diagonal = np.eye(len(labels), dtype=bool)
    worst = max(shares[~diagonal].max(initial=0.0), 1e-9)
    strength = np.where(diagonal, 0.45 * shares, 0.75 * (shares / worst) ** 0.5)
    with _styled():
        side = 4.4 if len(labels) <= MATRIX_CLASSES else 5.5
        figure = _figure(side, side * 0.96)
        axes = figure.subplots()
        axes.grid(visible=False)
        axes.imshow(_tinted(strength, diagonal), interpolation="none")
        step = ceil(len(labels) / MATRIX_CLASSES)
        axes.set_xticks(range(0, len(labels), step), [str(label) for label in labels[::step]])
        axes.set_yticks(range(0, len(labels), step), [str(label) for label in labels[::step]])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("guess")
        axes.set_ylabel("true label")
        if len(labels) <= MATRIX_CLASSES:
            for row, column in zip(*np.nonzero(shown), strict=True):
                axes.text(column, row, f"{shown[row, column]:,}", ha="center", va="center", fontsize=8)
        return figure


def _tinted(strength: Array, first: Array) -> Array:
    """(..., 4) bytes: blue where `first`, vermilion elsewhere, as opaque as `strength` in [0, 1] says."""
    pixels = np.empty((*strength.shape, 4), np.uint8)
    pixels[..., :3] = np.where(first[..., None], _rgb(BLUE), _rgb(VERMILION))
    pixels[..., 3] = (255 * np.clip(strength, 0, 1)).round()
    return pixels


def _rgb(color: str) -> list[int]:
    return [int(color[start : start + 2], 16) for start in (1, 3, 5)]


def reliability(bins: Sequence[Mapping[str, Any]]) -> "Figure":
    """How often the network is right when it is so sure, as `evaluate.calibration` has it, and how often it is."""
    width = 1 / len(bins)
    filled = [each for each in bins if each["images"]]
    sure, right = (np.array([each[key] for each in filled]) for key in ("confidence", "accuracy"))
    ends = [wilson(round(each["accuracy"] * each["images"]), each["images"]) for each in filled]
    with _styled():
        figure = _figure(4.4, 4.2)
        upper, lower = figure.subplots(2, sharex=True, height_ratios=[2.6, 1])
        upper.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
        upper.annotate("as sure as right", (0.03, 0.09), color=FAINT, fontsize=8)
        upper.vlines(sure, *zip(*ends, strict=True), color=BLUE, linewidth=1, alpha=0.6)
        upper.plot(sure, right, "o-", color=BLUE, markersize=3.5, linewidth=1)
        upper.set(title="share that was right", ylim=(0, 1.03), xlim=(0, 1.01))
        counts = [each["images"] for each in bins]
        lower.bar([(index + 0.5) * width for index in range(len(bins))], counts, width * 0.9, color=BLUE)
        lower.set_yscale("symlog", linthresh=1)
        lower.set(title="images", xlabel="probability of the guess", yticks=[], ylim=(0, 8 * max(counts)))
        for index, count in enumerate(counts):
            if count:
                lower.annotate(
                    f"{count:,}" if count < 10_000 else f"{count / 1000:.0f}k",
                    ((index + 0.5) * width, count),
                    (0, 1.5),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6.5,
                    color=FAINT,
                )
        lower.tick_params(axis="y", which="both", length=0)
        lower.grid(visible=False)
        return figure


def activation(layer: LayerActivity) -> "Figure":
    """What a hidden block puts out: a histogram on a logarithmic scale, with the mean."""
    with _styled():
        figure = _figure(4.6, 2.4)
        axes = figure.subplots()
        axes.stairs(np.array(layer.counts) / max(sum(layer.counts), 1), layer.edges, fill=True, color=BLUE, alpha=0.75)
        axes.axvline(layer.mean, color=VERMILION, linewidth=1.2)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
        axes.set(title=f"{layer.name}: {layer.units:,} {layer.activation}, share of all outputs", xlabel="output")
        axes.grid(visible=False, axis="x")
        return figure


def weights(pictures: Array) -> "Figure":
    """Weights of one unit after another as images, (n, height, width): vermilion is positive, blue negative.

    Each unit has a scale of its own, from zero, which is nothing, to its largest weight.
    """
    sizes = np.abs(pictures)
    strength = sizes / np.maximum(sizes.max(axis=(1, 2), keepdims=True), 1e-12)
    return _mosaic(_tinted(strength, pictures < 0))


def gallery(images: Array, captions: Sequence[str]) -> "Figure":
    """Images (n, height, width[, channels]), as `shown` gives them, each above its caption."""
    colours = images if images.ndim > GREYS + 1 else np.repeat(images[..., None], 3, axis=-1)
    pixels = np.concatenate([colours, np.ones((*colours.shape[:-1], 1))], axis=-1)
    return _mosaic((255 * pixels).round().astype(np.uint8), captions, columns=8)


def _mosaic(tiles: Array, captions: Sequence[str] = (), columns: int = COLUMNS) -> "Figure":
    """Tiles (n, height, width, 4) in rows, with a gap between them, and room for captions if there are any."""
    count, height, width = tiles.shape[:3]
    columns = min(columns, count)
    rows = ceil(count / columns)
    gap = max(1, round(0.07 * width))
    pitch = height + gap + (round(0.22 * height) if captions else 0)
    canvas = np.zeros((rows * pitch, columns * (width + gap), 4), np.uint8)
    places = [(index // columns * pitch, index % columns * (width + gap)) for index in range(count)]
    for (top, left), tile in zip(places, tiles, strict=True):
        canvas[top : top + height, left : left + width] = tile
    with _styled():
        inches = columns * (1.15 if captions else 0.58)
        figure = _figure(inches, inches * canvas.shape[0] / canvas.shape[1], None)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.imshow(canvas, interpolation="none", aspect="auto")
        for (top, left), caption in zip(places, captions, strict=False):
            axes.text(left + width / 2, top + height + gap, caption, ha="center", va="top", fontsize=7)
        return figure


def of_weights(kernel: Array, image_shape: Sequence[int]) -> tuple[Array, list[int]]:
    """The weights (pixels, units) of a first layer as pictures (n, height, width), and which units they are of.

    Of many units those with the longest weights are taken, in their order; channels are averaged.
    """
    images = kernel.T.reshape(-1, *image_shape)
    images = images if images.ndim == GREYS + 1 else images.mean(-1)
    images = np.stack([_reduced(image) for image in images])
    room = min(WEIGHTS, max(1, WEIGHT_PIXELS // images[0].size))
    units = np.sort(np.argsort(-np.linalg.norm(kernel, axis=0), kind="stable")[:room])
    return images[units], units.tolist()


def shown(image: Array) -> Array:
    """(height, width) grey or (height, width, 3) colours in [0, 1]; other numbers of channels as their mean."""
    scaled = np.clip(to_unit_range(image), 0, 1)
    return scaled if scaled.ndim == GREYS or scaled.shape[-1] == 3 else scaled.mean(-1)


def small(image: Array) -> Array:
    """An image as `shown` gives it, with at most `SIDE` pixels a side."""
    return _reduced(shown(image))


def _reduced(image: Array) -> Array:
    """The means of square blocks of pixels, as large as need be."""
    size = ceil(max(image.shape[:2]) / SIDE)
    if size == 1:
        return image
    height, width = (max(1, length // size) for length in image.shape[:2])
    whole = image[: height * size, : width * size]
    blocks = whole.reshape(height, len(whole) // height, width, whole.shape[1] // width, *image.shape[2:])
    means: Array = blocks.mean(axis=(1, 3))
    return means


def data_uri(image: Array) -> str:
    """An image as `small` gives it, as a PNG that is its own address."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, image, format="png", cmap="gray", vmin=0, vmax=1, metadata=NO_SOFTWARE)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def save(figure: "Figure", kind: Format) -> bytes:
    """The figure as a file of its own, on white."""
    return _saved(figure, kind, facecolor="white")


def inline(figure: "Figure", name: str, description: str) -> str:
    """The figure as an element of a page that defines `VARIABLES`; `name` keeps its identifiers apart from others'."""
    text = _saved(figure, "svg", facecolor="none").decode()
    text = text[text.index("<svg ") :]
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for color, variable in VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return text.replace("<svg ", f'<svg role="img" aria-label="{_escaped(description)}" ', 1)


def _escaped(text: str) -> str:
    from html import escape

    return escape(text)


def _saved(figure: "Figure", kind: Format, facecolor: str) -> bytes:
    nothing = ("Date", "Creator", "Format", "Type") if kind == "svg" else ("Software",)
    file = io.BytesIO()
    with _styled():
        figure.savefig(file, format=kind, dpi=160, facecolor=facecolor, metadata=dict.fromkeys(nothing))
    return file.getvalue()
