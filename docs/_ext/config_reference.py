"""The directive `config-reference`: tables of every setting."""

from typing import Any

from docutils import nodes
from settings_tables import reference
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class ConfigReference(SphinxDirective):
    """Put the tables of all settings into a page."""

    def run(self) -> list[nodes.Node]:
        """Return the tables."""
        return self.parse_text_to_nodes(reference())


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("config-reference", ConfigReference)
    return {"parallel_read_safe": True}
