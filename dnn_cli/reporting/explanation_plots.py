"""The figures of an explanation: image and probabilities, maps of the pixels, and hidden units.

The page shows each as a separate figure. `overview` draws all of them into one, for a PNG file.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dnn_cli.data.class_names import show
from dnn_cli.explanation.explain import Explanation
from dnn_cli.reporting.figures import new_figure, styled, tinted
from dnn_cli.reporting.html import decimals, percent
from dnn_cli.reporting.image_grids import displayable
from dnn_cli.reporting.palette import BLUE, LIGHT, VERMILION
from dnn_cli.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAPS = {
    "integrated_gradients": "integrated gradients\nwhat each pixel adds",
    "saliency": "saliency (gradient)\nwhat a brighter pixel would add",
    "occlusion": "occlusion\ndrop if a patch is black",
}
MAX_BARS = 12  # More classes have no room for their probabilities.
LEAST_LABELLED = 0.0005  # A smaller probability would be printed as 0.0 %.
FULL_COLOUR_QUANTILE = 0.995  # Few pixels are above it; scaled to the very largest, all others would look pale.
OUTLINE_LEVEL = 0.4  # The outline of a digit is drawn at this brightness.


def overview(found: Explanation, title: str, subtitle: str) -> "Figure":
    """Draw everything into one figure, below a heading."""
    with styled():
        height = 10.3 if found.units else 8.0
        figure = new_figure(11, height)
        figure.suptitle(f"{title}\n", fontsize=15, fontweight="bold", x=0.01, ha="left")
        figure.text(0.012, 1 - 0.34 / height, subtitle, color=LIGHT.faint, va="top")
        ratios = [8, 2.3] if found.units else [1]
        rows = figure.subfigures(len(ratios), 1, height_ratios=ratios, squeeze=False)[:, 0]
        left, right = rows[0].subfigures(1, 2, width_ratios=[1, 2.5])
        _draw_prediction(left, found)
        _draw_maps(right, found)
        if found.units:
            rows[1].suptitle(units_caption(found), fontsize=9, x=0.01, ha="left")
            _draw_units(rows[1], found)
        return figure


def prediction(found: Explanation) -> "Figure":
    """Draw the image as the network gets it, and the most probable classes."""
    with styled():
        figure = new_figure(2.7, 5.4)
        _draw_prediction(figure, found)
        return figure


def maps(found: Explanation) -> "Figure":
    """Draw a row of maps for each attribution: integrated gradients, saliency and occlusion."""
    with styled():
        figure = new_figure(6.8, 7.2)
        _draw_maps(figure, found)
        return figure


def units(found: Explanation) -> "Figure":
    """Draw the pixels that excite or inhibit each of the hidden units, of which there is one at least."""
    with styled():
        figure = new_figure(10, 1.8)
        _draw_units(figure, found)
        return figure


def units_caption(found: Explanation) -> str:
    """Return the caption of `units`."""
    return (
        f"The hidden units with the largest contributions to {found.names[0]} or {found.names[1]}, and the pixels "
        "that excite (orange) or inhibit (blue) each of them."
    )


def _draw_prediction(parent: Any, found: Explanation) -> None:
    above, below = parent.subplots(2, 1, height_ratios=[1, 1.1])
    above.imshow(displayable(found.image), cmap="gray", vmin=0, vmax=1, interpolation="none")
    above.set_title("the image, as the network gets it")
    above.set_axis_off()
    shown = np.sort(np.argsort(-found.probabilities, kind="stable")[:MAX_BARS])
    places = np.arange(len(shown))
    colors = {found.predicted: VERMILION, found.runner_up: BLUE}
    below.barh(places, found.probabilities[shown], color=[colors.get(int(label), LIGHT.faint) for label in shown])
    for place, probability in zip(places, found.probabilities[shown], strict=True):
        if probability >= LEAST_LABELLED:
            below.text(probability + 0.02, place, percent(probability), va="center", fontsize=8)
    below.set(
        yticks=places,
        yticklabels=[show(int(label), found.source.class_names) for label in shown],
        xticks=[],
        xlim=(0, 1.3),
    )
    below.invert_yaxis()
    below.spines[:].set_visible(False)
    below.grid(visible=False)
    below.tick_params(length=0)
    below.set_title("calibrated probabilities" if found.source.calibration else "the probability of each class")


def _draw_maps(parent: Any, found: Explanation) -> None:
    count = len(found.attributions)
    grid = parent.subplots(count + 1, len(MAPS), height_ratios=[*[1] * count, 0.05], squeeze=False)
    for column, (kind, title) in enumerate(MAPS.items()):
        pixels = [getattr(each, kind) for each in found.attributions]
        scale = _scale(pixels)
        grid[0, column].set_title(title, loc="center", fontsize=8)
        for axes, map_, name, each in zip(grid[:, column], pixels, found.names, found.attributions, strict=False):
            _draw_map(axes, map_, scale, found.image)
            if column == 0:
                axes.set_ylabel(f"for {name}", fontsize=11, fontweight="bold", color=LIGHT.ink)
            if kind in each.agreement:
                axes.set_xlabel(f"agreement with occlusion: {decimals(each.agreement[kind])}", fontsize=8)
        _draw_scale(grid[-1, column], scale)


def _draw_scale(axes: Any, scale: float) -> None:
    """Draw the colours of a map from -`scale` to `scale`."""
    values = np.linspace(-1, 1, 101)[None]
    axes.imshow(tinted(np.abs(values), values < 0), extent=(-scale, scale, 0, 1), aspect="auto", interpolation="none")
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.set_xticks([-scale, 0, scale], labels=[f"−{scale:.2g}", "0", f"+{scale:.2g}"])
    axes.set_xlabel("against  ·  for", fontsize=8)
    axes.spines[:].set_visible(False)


def _draw_units(parent: Any, found: Explanation) -> None:
    for axes, unit in zip(parent.subplots(1, len(found.units), squeeze=False)[0], found.units, strict=True):
        _draw_map(axes, unit.picture, float(np.abs(unit.picture).max()) or 1.0, found.image)
        side = found.names[0] if unit.contribution > 0 else found.names[1]
        axes.set_title(f"unit {unit.index}", fontsize=8)
        axes.set_xlabel(f"{abs(unit.contribution):.2f} for {side}", fontsize=9)


def _draw_map(axes: Any, map_: Array, scale: float, image: Array) -> None:
    """Draw a map (height, width): vermilion is positive, blue negative, opaque at `scale`; and the image's outline."""
    axes.imshow(tinted(np.abs(map_) / scale, map_ < 0), interpolation="none")
    grey = image.reshape(*image.shape[:2], -1).mean(axis=-1)
    if grey.min() < OUTLINE_LEVEL < grey.max():
        axes.contour(grey, [OUTLINE_LEVEL], colors=LIGHT.ink, linewidths=0.7, alpha=0.6)
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=LIGHT.grid)


def _scale(pixels: Sequence[Array]) -> float:
    """Return the value that gets the full colour in all of these maps."""
    sizes = np.abs(pixels)
    return float(np.quantile(sizes, FULL_COLOUR_QUANTILE)) or float(sizes.max()) or 1.0
