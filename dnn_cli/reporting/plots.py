"""The plots of a report: learning curves, confusion matrix, reliability diagram, histogram of activations."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Literal

import numpy as np

from dnn_cli.data import class_names
from dnn_cli.reporting.figures import hover, new_figure, styled, tinted
from dnn_cli.reporting.palette import BLUE, LIGHT, VERMILION
from dnn_cli.reporting.unit_activity import LayerActivity
from dnn_cli.runs.records import CalibrationBin
from dnn_cli.stats import wilson
from dnn_cli.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Scale = Literal["linear", "log", "zero"]
CURVES: dict[str, tuple[str, Scale]] = {  # column of the history → title and scale of its plot
    "loss": ("loss", "log"),
    "accuracy": ("accuracy", "linear"),
    "learning_rate": ("learning rate", "zero"),
    "seconds": ("seconds per epoch", "zero"),
}
MAX_POINTS = 4000  # Points of all lines of a figure together; more are not visible.
MAX_BANDS = 100  # Values are shown for at most this many epochs.
LABELLED_RANGE = 100  # A logarithmic axis over a smaller factor has room for the labels 2 and 5.
MAX_MARKERS = 30  # Up to this many epochs, each epoch is marked by a dot.
MAX_NAME = 16  # Characters of a longer name of a class have no room at an axis.
MAX_COUNTED_CLASSES = 20  # A larger confusion matrix has no room for the counts.


@dataclass(frozen=True)
class Line:
    """A line of a plot over epochs.

    Attributes:
        label: the name in the legend; "" for none.
        values: one value per epoch, from the first epoch.
        color: one of `Palette.series`.
        dashed: whether the line is the less important one of two.
        best: the epoch to mark, counted from 1; None for no mark.
        name: the name beside its values; "" for `label`.
    """

    label: str
    values: Sequence[float]
    color: str = BLUE
    dashed: bool = False
    best: int | None = None
    name: str = ""


def curves(title: str, lines: Sequence[Line], *, scale: Scale = "linear", below: bool = False) -> "Figure":
    """Plot values over epochs.

    Args:
        title: the quantity on the vertical axis.
        lines: the lines, one at least.
        scale: ``linear``; ``zero`` is linear and starts at zero; ``log`` is logarithmic if the values span a factor of
            more than 8, else linear.
        below: put the legend below the plot, one entry per row, because the labels are long.
    """
    from matplotlib.ticker import MaxNLocator

    with styled():
        figure = new_figure(4.6, 2.6)
        axes = figure.subplots()
        for line in lines:
            _draw(axes, line, MAX_POINTS // len(lines))
            if line.best is not None and not line.dashed and not below:
                axes.axvline(line.best, color=LIGHT.faint, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_title(title, pad=8 if below else 18)  # leaves space for the legend
        has_legend = len([line for line in lines if line.label]) > 1
        # The best epoch is named below the axes, where no line, legend or title is.
        marked = [line.best for line in lines if line.best is not None and not line.dashed and not below]
        axes.set_xlabel(f"epoch (dotted line: the best, {marked[0]})" if marked else "epoch")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.grid(visible=False, axis="x")
        axes.margins(x=0.03)
        values = [value for line in lines for value in line.values]
        if scale == "log" and 0 < 8 * min(values) < max(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            is_short = max(values) < LABELLED_RANGE * min(values)
            axes.yaxis.set_minor_formatter(_label_2_and_5 if is_short else "")
        if scale == "zero":
            axes.set_ylim(bottom=0)
        if has_legend and below:
            figure.set_figheight(2.6 + 0.16 * len(lines))
            figure.legend(loc="outside lower left", handlelength=1.6)
        elif has_legend:
            axes.legend(loc="lower right", bbox_to_anchor=(1.01, 1.09), ncols=3, borderpad=0, handlelength=1.6)
        _add_values(axes, lines)
        return figure


def _add_values(axes: "Axes", lines: Sequence[Line]) -> None:
    """Show the values of all lines where the pointer is over an epoch; of many epochs, those of some."""
    count = max(len(line.values) for line in lines)
    epochs = np.unique(np.linspace(1, count, min(count, MAX_BANDS)).round().astype(int)).tolist()
    edges = [0.5, *((one + other) / 2 for one, other in pairwise(epochs)), count + 0.5]
    for epoch, (left, right) in zip(epochs, pairwise(edges), strict=True):
        values = [
            f"{line.name or line.label}: {line.values[epoch - 1]:.4g}".removeprefix(": ")
            for line in lines
            if epoch <= len(line.values)
        ]
        hover(axes, (left, right), None, "\n".join([f"epoch {epoch}", *values]))


def _label_2_and_5(value: float, _: float) -> str:
    """Label a minor tick of a logarithmic scale with its value if that starts with 2 or 5."""
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
        marker="o" if count <= MAX_MARKERS else "",
        markersize=2.5,
        # matplotlib leaves labels that start with "_" out of the legend
        label=f"./{line.label}" if line.label.startswith("_") else line.label or None,
    )
    if line.best is not None:
        axes.plot(line.best, values[line.best - 1], "o", markersize=8, markerfacecolor="none", color=line.color)


def confusion(matrix: Array, labels: Sequence[int], names: Sequence[str] | None = None) -> "Figure":
    """Draw a confusion matrix.

    Args:
        matrix: (classes, classes) counts; rows are actual classes, columns predicted ones.
        labels: the classes to show.
        names: the name of every class; None if they have none.
    """
    shown = matrix[np.ix_(labels, labels)]
    shares = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
    diagonal = np.eye(len(labels), dtype=bool)
    worst = max(shares[~diagonal].max(initial=0.0), 1e-9)
    strength = np.where(diagonal, 0.45 * shares, 0.75 * (shares / worst) ** 0.5)
    with styled():
        side = 4.4 if len(labels) <= MAX_COUNTED_CLASSES else 5.5
        figure = new_figure(side, side * 0.96)
        axes = figure.subplots()
        axes.grid(visible=False)
        axes.imshow(tinted(strength, diagonal), interpolation="none")
        step = ceil(len(labels) / MAX_COUNTED_CLASSES)
        ticks = [_shortened(class_names.show(label, names)) for label in labels[::step]]
        axes.set_xticks(range(0, len(labels), step), ticks, rotation=90 if max(map(len, ticks)) > 3 else 0)
        axes.set_yticks(range(0, len(labels), step), ticks)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("actual")
        if len(labels) <= MAX_COUNTED_CLASSES:
            for row, column in zip(*np.nonzero(shown), strict=True):
                axes.text(column, row, f"{shown[row, column]:,}", ha="center", va="center", fontsize=8)
            for row, column in np.ndindex(*shown.shape):
                text = f"actual {labels[row]}, predicted {labels[column]}: {shown[row, column]:,} images"
                share = f"{100 * shares[row, column]:.1f} % of class {labels[row]}"
                hover(axes, (column - 0.5, column + 0.5), (row - 0.5, row + 0.5), f"{text}, {share}")
        return figure


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def reliability(bins: Sequence[CalibrationBin], calibrated: Sequence[CalibrationBin] = ()) -> "Figure":
    """Draw a reliability diagram: accuracy against confidence, above a histogram of the confidence.

    Args:
        bins: the bins of ``calibration`` in a score of `metrics.score`, one filled at least.
        calibrated: those of the calibrated probabilities, drawn as a second curve; none if there are none.
    """
    width = 1 / len(bins)
    confidence, accuracy, counted = _filled(bins)
    ends = [wilson(round(share * images), images) for images, share in zip(counted, accuracy, strict=True)]
    with styled():
        figure = new_figure(4.4, 4.2)
        upper, lower = figure.subplots(2, sharex=True, height_ratios=[2.6, 1])
        upper.plot([0, 1], [0, 1], color=LIGHT.faint, linewidth=0.8, linestyle=(0, (1, 2)))
        upper.annotate("perfect calibration", (0.03, 0.09), color=LIGHT.faint, fontsize=8)
        upper.vlines(confidence, *zip(*ends, strict=True), color=BLUE, linewidth=1, alpha=0.6)
        upper.plot(confidence, accuracy, "o-", color=BLUE, markersize=3.5, linewidth=1, label="network")
        if calibrated:
            upper.plot(
                *_filled(calibrated)[:2], "s--", color=VERMILION, markersize=3.5, linewidth=1, label="calibrated"
            )
            upper.legend(loc="lower right")
        upper.set(title="accuracy", ylim=(0, 1.03), xlim=(0, 1.01))
        counts = [each.images for each in bins]
        lower.bar([(index + 0.5) * width for index in range(len(bins))], counts, width * 0.9, color=BLUE)
        lower.set_yscale("symlog", linthresh=1)
        lower.set(title="images (logarithmic scale)", xlabel="confidence", yticks=[], ylim=(0, 8 * max(counts)))
        for index, count in enumerate(counts):
            if count:
                lower.annotate(
                    f"{count:,}" if count < 10_000 else f"{count / 1000:.0f}k",
                    ((index + 0.5) * width, count),
                    (0, 1.5),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6.5,
                    color=LIGHT.faint,
                )
        lower.tick_params(axis="y", which="both", length=0)
        lower.grid(visible=False)
        for index, each in enumerate(bins):
            left, right = index * width, (index + 1) * width
            text = f"confidence {left:.2f} to {right:.2f}: {each.images:,} images"
            if each.accuracy is not None and each.confidence is not None:
                text += f"\naccuracy {each.accuracy:.4f}, mean confidence {each.confidence:.4f}"
            for axes in (upper, lower):
                hover(axes, (left, right), None, text)
        return figure


def _filled(bins: Sequence[CalibrationBin]) -> tuple[Array, Array, list[int]]:
    """Return confidence, accuracy and number of images of the bins that have images."""
    filled = [(each.confidence, each.accuracy, each.images) for each in bins if each.accuracy is not None]
    confidence, accuracy, images = zip(*filled, strict=True)
    return np.array(confidence), np.array(accuracy), list(images)


def activation(layer: LayerActivity) -> "Figure":
    """Draw a histogram of a hidden layer's outputs on a logarithmic scale, and a line at their mean."""
    with styled():
        figure = new_figure(4.6, 2.4)
        axes = figure.subplots()
        axes.stairs(np.array(layer.counts) / max(sum(layer.counts), 1), layer.edges, fill=True, color=BLUE, alpha=0.75)
        axes.axvline(layer.mean, color=VERMILION, linewidth=1.2)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
        axes.set(title=f"{layer.name}: {layer.units:,} {layer.activation}, share of all outputs", xlabel="output")
        axes.grid(visible=False, axis="x")
        total = max(sum(layer.counts), 1)
        for count, ends in zip(layer.counts, pairwise(layer.edges), strict=True):
            hover(axes, ends, None, f"outputs from {ends[0]:.3g} to {ends[1]:.3g}: {100 * count / total:.2g} %")
        return figure
