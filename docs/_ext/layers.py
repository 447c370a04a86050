"""The directive `layers`: draw the layers of the import contract in `pyproject.toml` as an SVG picture."""

import tomllib
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, GAP = 720, 46, 10  # of the picture, of a layer, and between two; in pixels


def contract() -> list[list[str]]:
    """Return the packages of each layer, from the top one down, as the import contract lists them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    return [[name.strip() for name in layer.split("|")] for layer in layers if layer != "__main__"]


def picture(layers: list[list[str]]) -> str:
    """Return an SVG picture: a row of boxes for each layer, each box with the first line of its package's docstring."""
    rows = [_row(packages, index * (HEIGHT + GAP)) for index, packages in enumerate(layers)]
    height = len(layers) * (HEIGHT + GAP) - GAP
    title = "The packages as layers: each imports only from the layers below it"
    return (
        f'<svg class="layers" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">'
        f"<title>{title}</title>{''.join(rows)}</svg>"
    )


def _row(packages: list[str], y: int) -> str:
    width = (WIDTH - GAP * (len(packages) - 1)) / len(packages)
    return "".join(_box(name, index * (width + GAP), y, width) for index, name in enumerate(packages))


def _box(name: str, x: float, y: int, width: float) -> str:
    purpose = (import_module(f"dnn_cli.{name}").__doc__ or "").strip().splitlines()[0].replace("`", "")
    wide = width > 600
    label = f'<text x="{x + 14:.1f}" y="{y + 28}" class="name">{escape(name)}</text>'
    note = f'<text x="{x + 110:.1f}" y="{y + 28}" class="note">{escape(purpose)}</text>' if wide else ""
    tip = f"<title>{escape(name)}: {escape(purpose)}</title>"
    return f'<g>{tip}<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{HEIGHT}" rx="6"/>{label}{note}</g>'


class Layers(Directive):
    """Put the picture of the layers into a page."""

    def run(self) -> list[nodes.Node]:
        """Return the picture as HTML."""
        return [nodes.raw("", picture(contract()), format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("layers", Layers)
    return {"parallel_read_safe": True}
