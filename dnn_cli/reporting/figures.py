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
    from matplotlib.figure import Figure

Format = Literal["svg", "png"]

DPI = 160
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
