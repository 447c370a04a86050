"""The directive `json-schemas`: show the JSON Schema of every command's output as a table, with a link to the file."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = Path(__file__).parents[1] / "reference" / "schemas"


def markdown(name: str, schema: Mapping[str, Any]) -> str:
    """Return a section about one schema: its title, its purpose, and a row for each field."""
    rows = "\n".join(f"| `{path}` | {kind} | {meaning} |" for path, kind, meaning in fields(schema, ""))
    head = f"## `{schema['title']}`\n\nPrints {schema['description']}. {{download}}`JSON Schema <schemas/{name}.json>`"
    return f"{head}\n\n| field | type | meaning |\n| --- | --- | --- |\n{rows}\n"


def fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, type and meaning of each field: ``classes[].f1``."""
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")
    for name, field in schema.get("properties", {}).items():
        inner = f"{path}.{name}".lstrip(".")
        yield inner, _kind(field), field.get("description", "")
        yield from fields(field, inner)


def _kind(field: Mapping[str, Any]) -> str:
    kinds = [field["type"]] if isinstance(field["type"], str) else field["type"]
    return " or ".join(kinds)


class JsonSchemas(SphinxDirective):
    """Put a section about each schema into a page."""

    def run(self) -> list[nodes.Node]:
        """Return the sections, in the order of the files' names."""
        files = sorted(FOLDER.glob("*.json"))
        sections = [markdown(file.stem, json.loads(file.read_text(encoding="utf-8"))) for file in files]
        return self.parse_text_to_nodes("\n".join(sections), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("json-schemas", JsonSchemas)
    return {"parallel_read_safe": True}
