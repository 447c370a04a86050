"""Results on stdout: tables for people, JSON for machines."""

import io
import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from dnn_cli.train import Preview, Result

WIDTH = 120  # where stdout is no terminal that says its own


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
    labels = [str(figures["label"]) for figures in result["classes"]]
    confusion = _table("true ╲ guess", *labels)
    for label, counts in zip(labels, result["confusion"], strict=True):
        confusion.add_row(label, *(str(count) if count else "·" for count in counts))
    _print(per_class, confusion)
    _facts(rows)
    return None


def preview(plan: "Preview", *, as_json: bool) -> None:
    """The resolved config and the layers that it makes."""
    if as_json:
        layers = [
            {"name": layer.name, "kind": layer.kind, "units": layer.units, "parameters": layer.parameters}
            for layer in plan.layers
        ]
        return _json({"config": plan.config.to_dict(), "layers": layers, "parameters": plan.parameters})
    sys.stdout.write(plan.config.to_yaml())
    table = _table("layer", "kind", "output", "parameters")
    for layer in plan.layers:
        table.add_row(layer.name, layer.kind, f"{layer.units:,}", f"{layer.parameters:,}")
    table.add_section()
    table.add_row("total", "", "", f"{plan.parameters:,}")
    _print(table, plan.data)
    return None


def datasets(found: list[Any], *, as_json: bool) -> None:
    """Every known dataset: where it is, and whether it is what it should be."""
    if as_json:
        return _json([{"name": place.name, **_dataset(place.dataset, parts)} for place, parts in found])
    for place, parts in found:
        where = str(place.dataset.path) if place.dataset else f"not here; `dnn data {place.name}` fetches it"
        _print(f"{place.name}: {place.description}\n  {where}")
        if parts:
            _print(_parts_table(parts))
    return None


def dataset(which: Any, parts: list[Any], *, as_json: bool) -> None:
    """One dataset's parts: shapes, digests, and whether they are what they should be."""
    if as_json:
        return _json({"name": which.name, **_dataset(which, parts)})
    _print(f"{which.name}: {which.path}", _parts_table(parts))
    return None


def _dataset(which: Any, parts: list[Any]) -> dict[str, Any]:
    keys = ("name", "state", "shape", "dtype", "digest", "problem")
    listed = [{key: getattr(part, key) for key in keys} for part in parts]
    return {"path": str(which.path) if which else None, "parts": listed}


def _parts_table(parts: list[Any]) -> Table:
    table = _table("part", "shape", "type", "digest", "state")
    for part in parts:
        shape = "×".join(map(str, part.shape))
        table.add_row(part.name, shape, part.dtype, part.digest, part.problem or part.state)
    return table


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
    if sys.stdout.isatty():
        Console(highlight=False, markup=False).print(*things, sep="\n")
        return
    text = io.StringIO()
    Console(width=WIDTH, highlight=False, markup=False, file=text).print(*things, sep="\n")
    sys.stdout.write("\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n")


def _json(values: Any) -> None:
    sys.stdout.write(json.dumps(values, indent=2) + "\n")
