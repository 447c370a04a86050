"""The command `dnn trace`: print one training step with every formula and its numbers."""

from typing import TYPE_CHECKING, Any

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import print_json, print_lines

if TYPE_CHECKING:
    from dnn_cli.verification.trace import Quantity, Trace

SHOWN_ROWS, SHOWN_COLUMNS = 4, 10  # of an array, which is cut if it has more


@click.command
@click.option("-c", "--config", metavar="CONFIG", required=True, help="A YAML file, or a shipped config such as tiny.")
@options.settings
@click.option(
    "--index",
    type=click.IntRange(0),
    metavar="N",
    help="Use the batch that starts at training image N, counted from 0.  [default: the training's first batch]",
)
@options.as_json
def trace(config: str, settings: tuple[str, ...], index: int | None, as_json: bool) -> None:
    """Print one training step with every formula and its numbers.

    The step is computed in NumPy: forward pass, backward pass, update. Each quantity is printed with its formula, its
    shape and its numbers. Large arrays are cut, and only the four brightest pixels are shown. All formulas are
    explained in docs/backpropagation.md.

    \b
    Examples:
      dnn trace -c tiny
      dnn trace -c tiny --index 7 --set optimizer=adam
    """
    from dnn_cli.config import loading

    chosen = loading.load(config, options.overrides(settings))

    from dnn_cli.verification import trace as steps

    print_trace(steps.trace(chosen, index), as_json=as_json)


def print_trace(trace: "Trace", *, as_json: bool) -> None:
    """Print each quantity of one training step: name, formula, shape and numbers."""
    if as_json:
        print_json(_to_json(trace))
        return
    print_lines(
        f"images {_list(trace.images)} of {trace.dataset}, labels {_list(trace.labels)}",
        f"network {' → '.join(map(str, trace.widths))}",
        *[f"note: {trace.note}"] * bool(trace.note),
    )
    pixels = _brightest(trace.forward[0].values)
    for part, quantities in _parts(trace).items():
        print_lines("", f"update: {trace.rule}" if part == "update" else part)
        for each in quantities:
            print_lines("", *_quantity(each, pixels))


def _parts(trace: "Trace") -> "dict[str, list[Quantity]]":
    return {"forward": trace.forward, "backward": trace.backward, "update": trace.update}


def _to_json(trace: "Trace") -> dict[str, Any]:
    listed = {
        part: [{"name": each.name, "formula": each.formula, "values": each.values.tolist()} for each in quantities]
        for part, quantities in _parts(trace).items()
    }
    keys = ("dataset", "note", "images", "labels", "widths", "rule")
    return {**{key: getattr(trace, key) for key in keys}, **listed}


def _quantity(quantity: "Quantity", pixels: list[int]) -> list[str]:
    """Return the lines of a quantity: name, formula and shape, then its numbers; a large array is cut."""
    title, values = f"{quantity.name} = {quantity.formula}", quantity.values
    if values.ndim == 0:
        return [f"{title} = {values:.6f}"]
    title += f"   {'×'.join(map(str, values.shape))}"
    if quantity.pixels is not None:
        values = values.take(pixels, axis=quantity.pixels)
        title += f", of pixels {_list(pixels)}"
    rows = [
        "".join(f"{value:11.4g}" for value in row[:SHOWN_COLUMNS]) + " …" * (len(row) > SHOWN_COLUMNS)
        for row in values.reshape(-1, values.shape[-1])
    ]
    return [title, *rows[:SHOWN_ROWS], *["          …"] * (len(rows) > SHOWN_ROWS)]


def _brightest(images: Any) -> list[int]:
    """Return the indices of the four brightest pixels over all images, (n, pixels), in ascending order."""
    return sorted((-images.sum(axis=0)).argsort(kind="stable")[:SHOWN_ROWS].tolist())


def _list(numbers: list[int]) -> str:
    *first, last = map(str, numbers)
    if len(first) > SHOWN_COLUMNS:
        first[SHOWN_ROWS:] = ["…"]
    return f"{', '.join(first)} and {last}" if first else last
