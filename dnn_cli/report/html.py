"""One HTML page from a template: everything is in it, nothing is fetched, and what it is given is shown as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dnn_cli
from dnn_cli.report import plots
from dnn_cli.report.run_results import TestPredictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure, and what it shows in words, for those who cannot see it."""

    figure: "Figure"
    words: str


@dataclass(frozen=True)
class Page:
    """What is written of one or several runs.

    Attributes:
        html: the page.
        pictures: what can be saved beside it, by name.
        figures: the numbers on it, for machines.
        headlines: what it says, a line each.
    """

    html: str
    pictures: Mapping[str, Picture]
    figures: dict[str, Any]
    headlines: list[str]


def render(template: str, pictures: Mapping[str, Picture], **content: Any) -> str:
    """The page that one of ``templates/`` makes of the pictures, as ``svg`` by name, and of `content`."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dnn_cli.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": share, "percent": percent, "duration": duration}
    svg = {name: Markup(plots.inline(each.figure, name, each.words)) for name, each in pictures.items()}  # noqa: S704
    return environment.get_template(template).render(svg=svg, version=dnn_cli.__version__, **content)


def tiles(judged: TestPredictions, indices: Sequence[int]) -> list[dict[str, Any]]:
    """Some of the test images as the templates show them: what `Judged.describe` says, and the picture."""
    pictures = (plots.data_uri(plots.small(judged.images[index])) for index in indices)
    return [entry | {"picture": uri} for entry, uri in zip(judged.describe(indices), pictures, strict=True)]


def share(value: float | None) -> str:
    """A share in [0, 1], or another figure, as tables have it."""
    return "–" if value is None else f"{value:.4f}"


def percent(value: float) -> str:
    """A share in [0, 1] in percent, which is 0 or 100 only if it is that exactly."""
    if 0 < value < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= value < 1:
        return "> 99.9 %"
    return f"{100 * value:.1f} %"


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
