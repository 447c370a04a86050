"""Print tables, lines and JSON on stdout, and warnings on stderr.

rich is imported by the functions that draw, because help, errors and JSON output don't need it.
"""

import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

from dnn_cli.command import command
from dnn_cli.terminal import console as printable_console
from dnn_cli.terminal import unprotected

if TYPE_CHECKING:
    from rich.table import Table

UNLIMITED_WIDTH = 100_000  # characters; in a file or a pipe each row stays on one line, so that grep finds it
NOTHING = "–"  # printed in a cell without a value
COLUMN_WIDTH = 30  # characters; two columns of this width and the headings fit into 80


def table(*columns: str) -> "Table":
    """Return an empty table with the headings `columns`; the first column is aligned left, the others right."""
    from rich.table import Table

    empty = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        empty.add_column(column, justify="left" if index == 0 else "right")
    return empty


def folded(titles: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None) -> "Table":
    """Return a table that breaks long cells into several lines instead of cutting them.

    Args:
        titles: the headings.
        rows: the cells of each row.
        width: the maximum width of a column in characters; None for no limit but the terminal's.
    """
    filled = table(*titles)
    for column in filled.columns:
        column.overflow, column.max_width = "fold", width
    for row in rows:
        filled.add_row(*row)
    return filled


def fits(table: "Table") -> bool:
    """Return whether every row of the table fits on one line of the terminal; True if stdout is not a terminal."""
    if not sys.stdout.isatty():
        return True
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(file=sys.stdout)
    return Measurement.get(console, console.options.update_width(UNLIMITED_WIDTH), table).maximum <= console.width


def facts(rows: Iterable[tuple[str, str]]) -> "Table":
    """Return a table of names and values without headings; the row named "warning" is yellow."""
    from rich.table import Column, Table

    filled = Table("", Column(overflow="fold"), box=None, show_header=False, pad_edge=False)
    for name, value in rows:
        filled.add_row(name, value, style="yellow" if name == "warning" else None)
    return filled


def print_facts(rows: dict[str, str]) -> None:
    """Print one name and its value per line."""
    print_lines(facts(rows.items()))


def print_next(*arguments: object) -> None:
    """Print the command that the user may want to run next: `dnn`, as it was called, with these arguments."""
    print_lines(f"next: {command(*arguments)}")


def print_lines(*things: Any, colours: Literal["standard", "auto"] = "standard") -> None:
    """Print tables and lines. Strings are never wrapped, so that paths and commands can be copied.

    Args:
        things: strings, and tables or texts of rich.
        colours: the colours to use on a terminal: its 16 standard ones, or (``auto``) all that it has. A file or a
            pipe gets none, nor does a terminal if the environment variable ``NO_COLOR`` is set.
    """
    from rich.console import Console

    terminal = sys.stdout.isatty()
    text = io.StringIO()
    console = printable_console(
        text,
        force_terminal=terminal,
        color_system=colours if terminal and not os.environ.get("NO_COLOR") else None,
        width=Console(file=sys.stdout).width if terminal else UNLIMITED_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )
    for thing in things:
        console.print(thing, soft_wrap=isinstance(thing, str))
    output = unprotected(sys.stdout) if terminal else sys.stdout
    output.write("".join(f"{line.rstrip()}\n" for line in text.getvalue().split("\n")[:-1]))


def print_json(values: Any) -> None:
    """Print lists, dictionaries and plain values as JSON, indented by two spaces."""
    sys.stdout.write(json.dumps(values, indent=2) + "\n")


def warn(text: str) -> None:
    """Print a line on stderr."""
    click.echo(text, err=True)


def side_by_side(columns: dict[str, list[str]]) -> list[Any]:
    """Return a table with one row per run or, if the terminal is too narrow, tables with one column per run."""
    rows = list(zip(*columns.values(), strict=True))
    if fits(whole := folded(list(columns), rows)):
        return [whole]
    for count in range(len(rows), 0, -1):
        tables: list[Any] = []
        for start in range(0, len(rows), count):
            names, *values = zip(list(columns), *rows[start : start + count], strict=True)
            tables += [*[""] * bool(tables), folded(names, values, width=COLUMN_WIDTH)]
        if count == 1 or all(fits(table) for table in tables if table):
            break
    return tables
