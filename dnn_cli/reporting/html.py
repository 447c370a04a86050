"""Self-contained HTML pages from the templates: a page loads nothing, and all content is escaped as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dnn_cli
from dnn_cli.reporting import figures, image_grids, palette
from dnn_cli.reporting.figures import Picture
from dnn_cli.reporting.run_results import TestPredictions


@dataclass(frozen=True)
class Page:
    """The page of one or several runs.

    Attributes:
        html: the page.
        pictures: the pictures that can be saved as files, by name.
        figures: the numbers on the page, as plain values for JSON.
        headlines: the main statements of the page, one per line.
    """

    html: str
    pictures: Mapping[str, Picture]
    figures: dict[str, Any]
    headlines: list[str]


def render(template: str, pictures: Mapping[str, Picture], **content: Any) -> str:
    """Return the HTML of a page.

    Args:
        template: the name of a file in ``templates/``.
        pictures: the figures of the page; the template finds them as SVG elements in ``svg``, by name.
        content: all other variables of the template.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dnn_cli.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": share, "decimals": decimals, "percent": percent, "duration": duration}
    environment.globals |= {"version": dnn_cli.__version__, "light": palette.LIGHT, "dark": palette.DARK}
    svg = {
        name: Markup(figures.inline(picture.figure, name, picture.description))  # noqa: S704 - `inline` escapes
        for name, picture in pictures.items()
    }
    return environment.get_template(template).render(svg=svg, **content)


def tiles(predictions: TestPredictions, indices: Sequence[int]) -> list[dict[str, Any]]:
    """Return some test images as the templates show them: each with its labels, its confidence and a thumbnail."""
    thumbnails = (image_grids.data_uri(image_grids.thumbnail(predictions.images[index])) for index in indices)
    return [entry | {"picture": uri} for entry, uri in zip(predictions.describe(indices), thumbnails, strict=True)]


def share(value: float | None) -> str:
    """Return a share in [0, 1], or another figure, with four decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.4f}"


def decimals(value: float | None) -> str:
    """Return a number with two decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.2f}"


def percent(value: float) -> str:
    """Return a share in [0, 1] in percent; only exactly 0 and 1 are printed as 0.0 % and 100.0 %."""
    if 0 < value < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= value < 1:
        return "> 99.9 %"
    return f"{100 * value:.1f} %"


def duration(seconds: float) -> str:
    """Return a duration in the unit that suits it: seconds, minutes, or hours and minutes."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
