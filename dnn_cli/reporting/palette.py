"""The colours of all pages and figures, in light and dark: the only place where they are defined.

The series are based on Okabe and Ito (2008), whose colours colour-blind people can tell apart. No page or figure
relies on colour alone.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """The colours of one scheme, each as ``#rrggbb``.

    Attributes:
        page: the background of the page.
        plate: the background of code and other raised boxes.
        ink: text.
        faint: secondary text, axes and ticks.
        grid: grid lines of a plot.
        line: borders and rules.
        warn: the text of a warning.
        warn_plate: the background of a warning.
        series: the lines of a plot, in the order in which they are used; the first also marks what is right or
            negative, the second what is wrong or positive.
    """

    page: str
    plate: str
    ink: str
    faint: str
    grid: str
    line: str
    warn: str
    warn_plate: str
    series: tuple[str, ...]

    @property
    def variables(self) -> dict[str, str]:
        """The colours by the names of their CSS variables, such as ``--ink`` and ``--series-1``."""
        colors = {f"--{name.replace('_', '-')}": color for name, color in vars(self).items() if name != "series"}
        return colors | {f"--series-{number}": color for number, color in enumerate(self.series, start=1)}

    @property
    def css(self) -> str:
        """The colours as the declarations of a CSS rule."""
        return " ".join(f"{name}: {color};" for name, color in self.variables.items())


LIGHT = Palette(
    page="#ffffff",
    plate="#f5f6f8",
    ink="#1f2329",
    faint="#5e6673",
    grid="#d9dde3",
    line="#e3e6eb",
    warn="#a33f00",
    warn_plate="#fff1e6",
    series=("#0072b2", "#d55e00", "#009e73", "#b8578f", "#b87700", "#3a94c9"),
)
DARK = Palette(
    page="#14171b",
    plate="#1c2026",
    ink="#e4e7eb",
    faint="#9aa3af",
    grid="#343a43",
    line="#2b3038",
    warn="#ffb27d",
    warn_plate="#33210f",
    series=("#56b4e9", "#f08a4b", "#3cc79c", "#dd8fbd", "#e6b450", "#9ed5f5"),
)
BLUE, VERMILION = LIGHT.series[:2]
