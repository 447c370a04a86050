"""Matplotlib figures in one style, and their output as SVG or PNG: the same bytes each time.

No figure depends on the user's matplotlib settings. Figures are drawn in the colours of `palette.LIGHT`. In a page,
`inline` replaces these colours by CSS variables, so that a figure is as light or dark as the page around it. Images
within a figure keep their colours: they are transparent where there is nothing to see, or opaque.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from re import sub
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dnn_cli.reporting.palette import BLUE, LIGHT, VERMILION
from dnn_cli.terminal import printable
from dnn_cli.typing import Array

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["svg", "png"]

DPI = 160
HOVER = "hover-"  # begins the identifiers of areas with a text for the pointer
ABOVE_ALL = 10  # the drawing order of such an area, so that nothing is between it and the pointer
NEARLY_INVISIBLE = 1e-3  # an opacity; matplotlib omits the area at 0, and then the pointer is never over it
FIGURE_COLORS = {LIGHT.variables[name]: name for name in LIGHT.variables if name.startswith("--series")} | {
    LIGHT.ink: "--ink",
    LIGHT.faint: "--faint",
    LIGHT.grid: "--grid",
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dnn",
    "font.size": 8.5,
    "text.color": LIGHT.ink,
    "text.parse_math": False,  # a run's name may contain dollar signs
    "axes.facecolor": "none",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelcolor": LIGHT.faint,
    "axes.edgecolor": LIGHT.faint,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT.grid,
    "grid.linewidth": 0.6,
    "xtick.color": LIGHT.faint,
    "ytick.color": LIGHT.faint,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 2.5,
    "ytick.major.size": 0,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
# Metadata that matplotlib would add: the date, its version and its address.
OMITTED_METADATA: dict[Format, Any] = {
    "svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
    "png": {"Software": None},
}


@dataclass(frozen=True)
class Picture:
    """A figure of a page.

    Attributes:
        figure: the figure.
        description: the content of the figure in words, for people who cannot see it.
    """

    figure: "Figure"
    description: str


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of the reports within this context, whatever matplotlib is set to outside."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> "Figure":
    """Return an empty figure of that size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def hover(axes: "Axes", x: tuple[float, float], y: tuple[float, float] | None, text: str) -> None:
    """Show `text` where the pointer is over a part of a figure: in a page as the ``<title>`` of an invisible area.

    Args:
        axes: the axes, complete but for such areas.
        x: left and right of the area, in data coordinates.
        y: bottom and top of the area, in data coordinates; None for the height of the axes.
        text: the text.
    """
    from matplotlib.patches import Rectangle

    bottom, top = y or (0.0, 1.0)
    place = axes.transData if y else axes.get_xaxis_transform()
    area = Rectangle((x[0], bottom), x[1] - x[0], top - bottom, transform=place, linewidth=0)
    area.set(facecolor=LIGHT.ink, alpha=NEARLY_INVISIBLE, label=text, in_layout=False, zorder=ABOVE_ALL)
    area.set_gid(f"{HOVER}{len(axes.figure.findobj(_is_hover))}")
    axes.add_artist(area)


def _is_hover(artist: "Artist") -> bool:
    return (artist.get_gid() or "").startswith(HOVER)


def save(figure: "Figure", kind: Format) -> bytes:
    """Return the content of an SVG or PNG file of the figure, on white."""
    return _saved(figure, kind, facecolor="white")


def inline(figure: "Figure", name: str, description: str) -> str:
    """Return the figure as an ``<svg>`` element for a page that defines the CSS variables of a palette.

    Args:
        figure: the figure.
        name: a prefix of all identifiers in the element, so that several figures fit into one page.
        description: the content of the figure in words, for people who cannot see it.
    """
    text = _saved(figure, "svg", facecolor="none").decode()
    text = text[text.index("<svg ") :]
    for area in figure.findobj(_is_hover):
        start = f'<g id="{area.get_gid()}">'
        text = text.replace(start, f"{start}<title>{escape(printable(str(area.get_label())))}</title>")
    text = sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for color, variable in FIGURE_COLORS.items():
        text = text.replace(color, f"var({variable})")
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1)


def tinted(strength: Array, is_blue: Array) -> Array:
    """Return pixels (..., 4) of uint8: blue where `is_blue`, vermilion elsewhere, of opacity `strength` in [0, 1]."""
    pixels = np.empty((*strength.shape, 4), np.uint8)
    pixels[..., :3] = np.where(is_blue[..., None], _rgb(BLUE), _rgb(VERMILION))
    pixels[..., 3] = (255 * np.clip(strength, 0, 1)).round()
    return pixels


def _rgb(color: str) -> list[int]:
    return [int(color[start : start + 2], 16) for start in (1, 3, 5)]


def _saved(figure: "Figure", kind: Format, facecolor: str) -> bytes:
    from matplotlib.text import Text

    for text in figure.findobj(Text):  # names can hold what fonts lack, or look like mathematics: $\frac$
        text.set_parse_math(False)
        text.set_text(printable(text.get_text()))
    file = io.BytesIO()
    with styled():
        figure.savefig(file, format=kind, dpi=DPI, facecolor=facecolor, metadata=OMITTED_METADATA[kind])
    return file.getvalue()
