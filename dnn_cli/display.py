"""Results on stdout: tables for people, JSON for machines."""

import io
import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from dnn_cli.gradcheck import Check
    from dnn_cli.trace import Quantity, Trace
    from dnn_cli.train import Preview, Result

ENDLESS = 100_000  # columns where stdout is no terminal: a line stays a line, for grep and for copying
MATRIX_CLASSES = 12  # more than these make a confusion matrix that no terminal has room for
SHOWN_ROWS, SHOWN_COLUMNS = 4, 10  # of an array
STATES = {"ok": "verified", "unknown": "sound", "bad": "bad"}


def training(result: "Result", *, as_json: bool) -> None:
    """A training's summary, the run's path and the command to type next."""
    metrics = result.metrics
    if as_json:
        return _json({"run": str(result.run), **metrics})
    final, best = metrics["final"], metrics["best"]
    epochs = f"{metrics['epochs']}, stopped early" if metrics["stopped_early"] else str(metrics["epochs"])
    rows = {
        "run": str(result.run),
        "data": f"{metrics['dataset']}, {metrics['training_images']:,} training images",
        "parameters": f"{metrics['parameters']:,}",
        "epochs": epochs,
        **{name.replace("_", " "): f"{value:.4f}" for name, value in final.items() if _is_figure(name)},
        "best epoch": f"{best['epoch']}, {best['monitor'].replace('_', ' ')} {best['value']:.4f}",
        "time": f"{metrics['seconds']:.1f} s, {metrics['images_per_second']:,.0f} images/s",
    }
    if metrics["note"]:
        rows["warning"] = metrics["note"]
    _facts(rows)
    _print(f"next: dnn evaluate {result.run}")
    return None


def evaluation(result: dict[str, Any], *, as_json: bool) -> None:
    """What an evaluation found: the figures, each class, the confusion matrix."""
    if as_json:
        return _json(result)
    low, high = result["accuracy_interval"]
    epoch = f" (epoch {result['epoch']})" if result["epoch"] else ""
    rows = {
        "checkpoint": f"{result['checkpoint']}{epoch}",
        "data": f"{result['dataset']}, {result['split']} split, {result['images']:,} images",
        "loss": f"{result['loss']:.4f}",
        f"{result['split']} accuracy": f"{result['accuracy']:.4f}, 95 % interval {low:.4f} to {high:.4f}",
        "errors": f"{result['errors']:,}",
        "calibration error": f"{result['calibration_error']:.4f}",
    }
    if result["note"]:
        rows["warning"] = result["note"]
    per_class = _table("class", "precision", "recall", "F1", "images")
    for figures in result["classes"]:
        values = (figures["precision"], figures["recall"], figures["f1"])
        shown = ("–" if value is None else f"{value:.4f}" for value in values)
        per_class.add_row(str(figures["label"]), *shown, f"{figures['support']:,}")
    _print(per_class, "", _confusion_table(result["confusion"]), "")
    _facts(rows)
    return None


def _confusion_table(confusion: list[list[int]]) -> Table:
    """The whole matrix, or of a large one what was mistaken for what most often."""
    labels = range(len(confusion))
    if len(labels) <= MATRIX_CLASSES:
        table = _table("true ╲ guess", *map(str, labels))
        for label, counts in zip(labels, confusion, strict=True):
            table.add_row(str(label), *(str(count) if count else "·" for count in counts))
        return table
    mistakes = [(confusion[true][guess], true, guess) for true in labels for guess in labels if true != guess]
    made = sorted((mistake for mistake in mistakes if mistake[0]), key=lambda mistake: -mistake[0])
    table = _table("most mistaken", "for", "images")
    for count, true, guess in made[:MATRIX_CLASSES]:
        table.add_row(str(true), str(guess), f"{count:,}")
    return table


def preview(plan: "Preview", *, as_json: bool) -> None:
    """The resolved config and the layers that it makes."""
    if as_json:
        layers = [
            {"name": layer.name, "kind": layer.kind, "units": layer.units, "parameters": layer.parameters}
            for layer in plan.layers
        ]
        return _json({"config": plan.config.to_dict(), "layers": layers, "parameters": plan.parameters})
    sys.stdout.write(plan.config.to_yaml())
    table = _table("layer", "kind", "activation", "output", "parameters")
    for layer in plan.layers:
        activation = layer.arguments.get("activation", "")
        table.add_row(layer.name, layer.kind, activation, f"{layer.units:,}", f"{layer.parameters:,}")
    table.add_row("total", "", "", "", f"{plan.parameters:,}")
    _print("", table, "", plan.data)
    return None


def gradients(check: "Check", tolerance: float, *, as_json: bool) -> None:
    """How far the gradients of Keras, NumPy and finite differences are apart, layer by layer."""
    if as_json:
        return _json({**asdict(check), "largest": check.largest, "tolerance": tolerance})
    table = _table("layer", "outputs", "parameter", "NumPy − Keras", "NumPy − differences", "Keras − differences")
    table.add_column("sampled", justify="right")
    table.add_column("at a kink", justify="right")
    for step in check.layers:
        name, output = step.layer, _error(step.output)
        for each in step.gradients:
            errors = map(_error, (each.numpy_keras, each.numpy_difference, each.keras_difference))
            parameter = f"{each.name.rpartition('/')[2]} {'×'.join(map(str, each.shape))}"
            table.add_row(name, output, parameter, *errors, f"{each.sampled:,}", f"{each.skipped:,}")
            name = output = ""
        if not step.gradients:
            table.add_row(name, output)
    rows = {
        "data": f"{check.dataset}, {check.images:,} training images",
        "loss": f"{check.loss:.6f}, NumPy − Keras {_error(check.loss_error)}",
        "largest error": f"{_error(check.largest)}, tolerance {tolerance:g}",
    }
    _print(table, "")
    _facts(rows)
    _print(*(f"note: {note}" for note in check.notes))
    return None


def step(trace: "Trace", *, as_json: bool) -> None:
    """One training step, quantity by quantity."""
    parts = {"forward": trace.forward, "backward": trace.backward, "update": trace.update}
    if as_json:
        listed = {
            part: [{"name": each.name, "formula": each.formula, "values": each.values.tolist()} for each in quantities]
            for part, quantities in parts.items()
        }
        keys = ("dataset", "note", "images", "labels", "widths", "rule")
        return _json({**{key: getattr(trace, key) for key in keys}, **listed})
    _print(
        f"images {_list(trace.images)} of {trace.dataset}, labels {_list(trace.labels)}",
        f"network {' → '.join(map(str, trace.widths))}",
        *[f"note: {trace.note}"] * bool(trace.note),
    )
    pixels = _brightest(trace.forward[0].values)
    for part, quantities in parts.items():
        _print("", f"update: {trace.rule}" if part == "update" else part)
        for each in quantities:
            _print("", *_quantity(each, pixels))
    return None


def _quantity(quantity: "Quantity", pixels: list[int]) -> list[str]:
    """A quantity's name, formula and shape, and below them its numbers, of large arrays only some."""
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
    """Four columns of (n, pixels): those with the highest sums, in order."""
    return sorted((-images.sum(axis=0)).argsort(kind="stable")[:SHOWN_ROWS].tolist())


def _list(numbers: list[int]) -> str:
    *first, last = map(str, numbers)
    if len(first) > SHOWN_COLUMNS:
        first[SHOWN_ROWS:] = ["…"]
    return f"{', '.join(first)} and {last}" if first else last


def _error(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}"


def datasets(found: list[Any], *, as_json: bool) -> None:
    """Every known dataset: where it is, and whether it is what it should be."""
    if as_json:
        return _json([{"name": place.name, **_dataset(place.dataset, parts)} for place, parts in found])
    for number, (place, parts) in enumerate(found):
        where = str(place.dataset.path) if place.dataset else f"not here; `dnn data {place.name}` fetches it"
        _print(*[""] * bool(number), f"{place.name}: {place.description}", f"  {where}")
        _parts(parts)
    return None


def dataset(which: Any, parts: list[Any], *, as_json: bool) -> None:
    """One dataset's parts: shapes, digests, and whether they are what they should be."""
    if as_json:
        return _json({"name": which.name, **_dataset(which, parts)})
    _print(which.name if which.name == str(which.path) else f"{which.name}: {which.path}")
    _parts(parts)
    return None


def _dataset(which: Any, parts: list[Any]) -> dict[str, Any]:
    keys = ("name", "state", "shape", "dtype", "digest", "problem")
    listed = [{key: getattr(part, key) for key in keys} for part in parts]
    return {"path": str(which.path) if which else None, "parts": listed}


def _parts(parts: list[Any]) -> None:
    """A line for each part, and below them what is wrong with those that are bad."""
    if not parts:
        return
    table = _table("  part", "shape", "type", "digest", "state")
    for part in parts:
        shape, digest = "×".join(map(str, part.shape)), part.digest
        table.add_row(f"  {part.name}", shape, part.dtype, _short(digest), STATES[part.state])
    _print(table, *(f"  {part.problem}" for part in parts if part.problem))


def _short(digest: str) -> str:
    """A digest that leaves room for the rest of its line; `--json` has the whole."""
    kind, _, value = digest.partition(":")
    return digest if len(value) <= 32 else f"{kind}:{value[:28]}…"


def _is_figure(name: str) -> bool:
    return name not in ("epoch", "learning_rate", "seconds")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def _facts(rows: dict[str, str]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, value, style="yellow" if name == "warning" else None)
    _print(table)


def _print(*things: Any) -> None:
    """Print tables and lines, those whole, so that they can be copied; with no colours where none are wanted."""
    terminal = sys.stdout.isatty()
    text = io.StringIO()
    console = Console(
        file=text,
        force_terminal=terminal,
        color_system="standard" if terminal and not os.environ.get("NO_COLOR") else None,
        width=Console(file=sys.stdout).width if terminal else ENDLESS,
        markup=False,
        highlight=False,
        emoji=False,
    )
    for thing in things:
        console.print(thing, soft_wrap=isinstance(thing, str))
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in text.getvalue().split("\n")[:-1]))


def _json(values: Any) -> None:
    sys.stdout.write(json.dumps(values, indent=2) + "\n")
