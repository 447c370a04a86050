"""Configure the documentation site: `make docs` builds it into docs/_build/html, which opens from file://."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

import dnn_cli

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "dnn"
author = "The dnn-cli authors"
copyright = f"2026, {author}"
release = version = dnn_cli.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "config_reference",
    "layers",
    "mathml",
    "schemas",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "dnn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": "https://github.com/dnn-cli/dnn-cli/",
    "source_branch": "main",
    "source_directory": "docs/",
}
nitpicky = False
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
myst_url_schemes = ["http", "https", "mailto"]
html_math_renderer = "mathml"
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
copybutton_prompt_text = "$ "


def _escape(app: Sphinx, context: object, lines: list[str]) -> None:
    """Keep the stars of shell patterns in help texts from being read as emphasis."""
    lines[:] = [line.replace("*", "\\*") for line in lines]


def setup(app: Sphinx) -> None:
    """Register what changes the pages of the commands."""
    app.connect("sphinx-click-process-description", _escape)
