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
GAP = 2  # characters between columns
COLUMN_WIDTH = 30  # characters; two columns of this width and the headings fit into 80


def table(*columns: str) -> "Table":
    """Return an empty table with the headings `columns`; the first column is aligned left, the others right."""
    from rich.table import Table

    empty = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        empty.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return empty


def matrix(*columns: str) -> "Table":
    """Return an empty table like `table` that is printed as it is, however narrow the terminal is."""
    empty = table(*columns)
    for column in empty.columns:
        column.no_wrap = True
    return empty


def folded(titles: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None) -> "Table":
    """Return a table of rows.

    Args:
        titles: the headings.
        rows: the cells of each row.
        width: the maximum width of a column in characters; None for no limit but the terminal's.
    """
    filled = table(*titles)
    for column in filled.columns:
        column.max_width = width
    for row in rows:
        filled.add_row(*row)
    return filled


def fits(table: "Table") -> bool:
    """Return whether every row of the table fits on one line of the terminal; True if stdout is not a terminal."""
    if not sys.stdout.isatty():
        return True
    return sum(_widths(table, "maximum")) <= _terminal_width()


def _terminal_width() -> int:
    """Return the number of characters in a line of the terminal, or of ``COLUMNS`` if stdout is a file or a pipe."""
    if sys.stdout.isatty():
        from rich.console import Console

        return Console(file=sys.stdout).width
    wanted = os.environ.get("COLUMNS", "")
    return int(wanted) if wanted.isdecimal() and 0 < int(wanted) < UNLIMITED_WIDTH else UNLIMITED_WIDTH


def _widths(table: "Table", kind: Literal["minimum", "maximum"]) -> list[int]:
    """Return the width of each column and the gap after it: with every word whole, or with every cell on a line."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(width=UNLIMITED_WIDTH)
    last = len(table.columns) - 1
    widths = []
    for index, column in enumerate(table.columns):
        measures = [Measurement.get(console, console.options, cell) for cell in (column.header, *column.cells)]
        width = max(getattr(measure, kind) for measure in measures)
        widths.append(min(width, column.max_width or UNLIMITED_WIDTH) + GAP * (index < last))
    return widths


def _shaped(table: "Table", width: int) -> "Table":
    """Return the table if it fits into `width` without breaking a word, and otherwise its rows below each other."""
    if not table.show_header or _is_rigid(table):
        return table
    most, least = _widths(table, "maximum"), _widths(table, "minimum")
    if sum(least) > width:
        return _stacked(table)
    while (excess := sum(most) - width) > 0:  # shorten the widest column that can be shortened
        widest = max((at for at in range(len(most)) if most[at] > least[at]), key=most.__getitem__)
        most[widest] -= min(excess, most[widest] - least[widest])
    for index, column in enumerate(table.columns):
        column.width = most[index] - GAP * (index < len(most) - 1)
    return table


def _is_rigid(table: "Table") -> bool:
    """Return whether the table is a `matrix`."""
    return bool(table.columns) and all(column.no_wrap for column in table.columns)


def _stacked(table: "Table") -> "Table":
    """Return the rows of a table below each other, with a line for each cell: its heading and its value."""
    headings = [str(column.header) for column in table.columns]
    cells = zip(*(column.cells for column in table.columns), strict=True)
    rows: list[tuple[str, str]] = []
    for row in cells:
        rows += [("", "")] * bool(rows) + [(heading, str(cell)) for heading, cell in zip(headings, row, strict=True)]
    return facts(rows)


def facts(rows: Iterable[tuple[str, str]]) -> "Table":
    """Return a table of names and values without headings; the row named "warning" is yellow."""
    from rich.table import Column, Table

    filled = Table(Column(no_wrap=True), Column(overflow="fold"), box=None, show_header=False, pad_edge=False)
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
    from rich.table import Table

    terminal, width = sys.stdout.isatty(), _terminal_width()
    text = io.StringIO()
    console = printable_console(
        text,
        force_terminal=terminal,
        color_system=colours if terminal and not os.environ.get("NO_COLOR") else None,
        width=width,
        markup=False,
        highlight=False,
        emoji=False,
    )
    for thing in things:
        console.width = UNLIMITED_WIDTH if isinstance(thing, Table) and _is_rigid(thing) else width
        console.print(_shaped(thing, width) if isinstance(thing, Table) else thing, soft_wrap=isinstance(thing, str))
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
