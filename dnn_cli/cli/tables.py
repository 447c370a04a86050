"""Output of the commands: tables and lines for people, JSON for programs, warnings on stderr.

rich is imported when a table is drawn: help, errors and JSON do without it.
"""

import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from rich.table import Table

UNLIMITED_WIDTH = 100_000  # columns where stdout is no terminal: a line stays a line, for grep and for copying
NOTHING = "–"  # a cell for which there is no value


def table(*columns: str) -> "Table":
    """Return an empty table with these headings: the first column is aligned left, the others right."""
    from rich.table import Table

    empty = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        empty.add_column(column, justify="left" if index == 0 else "right")
    return empty


def folded(titles: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None) -> "Table":
    """Return a table that folds long cells and cuts none.

    Args:
        titles: the headings.
        rows: the cells.
        width: the largest width of a column in characters; None for as wide as the terminal allows.
    """
    filled = table(*titles)
    for column in filled.columns:
        column.overflow, column.max_width = "fold", width
    for row in rows:
        filled.add_row(*row)
    return filled


def fits(table: "Table") -> bool:
    """Return True if no cell of the table has to be folded; always so where stdout is no terminal."""
    if not sys.stdout.isatty():
        return True
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(file=sys.stdout)
    return Measurement.get(console, console.options.update_width(UNLIMITED_WIDTH), table).maximum <= console.width


def print_facts(rows: dict[str, str]) -> None:
    """Print a name and a value a line; a warning is yellow."""
    from rich.table import Table

    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows.items():
        facts.add_row(name, value, style="yellow" if name == "warning" else None)
    print_lines(facts)


def print_next(command: str) -> None:
    """Print the command to type next."""
    print_lines(f"next: {command}")


def print_lines(*things: Any, colours: Literal["standard", "auto"] = "standard") -> None:
    """Print tables, and lines that are never wrapped, so that they can be copied.

    Args:
        things: tables, texts or strings.
        colours: the colours of a terminal: its 16, or as many as it has. `NO_COLOR` switches them off.
    """
    from rich.console import Console

    terminal = sys.stdout.isatty()
    text = io.StringIO()
    console = Console(
        file=text,
        force_terminal=terminal,
        color_system=colours if terminal and not os.environ.get("NO_COLOR") else None,
        width=Console(file=sys.stdout).width if terminal else UNLIMITED_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )
    for thing in things:
        console.print(thing, soft_wrap=isinstance(thing, str))
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in text.getvalue().split("\n")[:-1]))


def print_json(values: Any) -> None:
    """Print plain values as JSON, indented by two."""
    sys.stdout.write(json.dumps(values, indent=2) + "\n")


def warn(text: str) -> None:
    """Print a line on stderr."""
    click.echo(text, err=True)
