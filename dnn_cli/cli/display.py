"""Results on stdout: tables for people, JSON for machines."""

import io
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from dnn_cli.config import difference, loading
from dnn_cli.runs.directory import RUNS
from dnn_cli.runs.records import Score

if TYPE_CHECKING:
    from dnn_cli.evaluation.predict import Prediction, Predictions
    from dnn_cli.explanation.explain import Explanation
    from dnn_cli.report.write import Result as Report
    from dnn_cli.runs.comparison import Candidate, Comparison
    from dnn_cli.runs.status import Details, Entry, Standing
    from dnn_cli.training.loop import Result
    from dnn_cli.training.plan import Preview
    from dnn_cli.typing import Array
    from dnn_cli.verification.gradcheck import Check
    from dnn_cli.verification.trace import Quantity, Trace

UNLIMITED_WIDTH = 100_000  # columns where stdout is no terminal: a line stays a line, for grep and for copying
COLUMN = 30  # of which two and a title fit into 80
MATRIX_CLASSES = 12  # more than these make a confusion matrix that no terminal has room for
NOTHING = "–"
HALF_BLOCK = "▀"
SHADES = " .:-=+*#%@"  # from the background to the strongest ink
SHOWN_ROWS, SHOWN_COLUMNS = 4, 10  # of an array
SHOWN_EPOCHS = 5  # the first and the last of a long history
STATES = {"ok": "verified", "unknown": "sound", "bad": "bad"}


def training(result: "Result", *, as_json: bool) -> None:
    """A training's summary, the run's path and the command to type next."""
    metrics = result.metrics
    if as_json:
        return _json(_summary(result))
    final, best = metrics["final"], metrics["best"]
    epochs = f"{metrics['epochs']}, stopped early" if metrics["stopped_early"] else str(metrics["epochs"])
    rows = {
        "run": str(result.run),
        "data": f"{metrics['dataset']}, {_selected(metrics)}{metrics['training_images']:,} training images",
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


def trainings(results: "list[Result]", *, as_json: bool) -> None:
    """What follows the summaries of several trainings: all of them as JSON, or the command to type next."""
    if as_json:
        return _json([_summary(result) for result in results])
    if len(results) > 1:
        _print(f"next: dnn compare {' '.join(str(result.run) for result in results)}")
    return None


def _summary(result: "Result") -> dict[str, Any]:
    return {"run": str(result.run), **result.metrics}


def evaluation(result: dict[str, Any], *, as_json: bool) -> None:
    """What an evaluation found: the figures, each class, the confusion matrix."""
    if as_json:
        return _json(result)
    low, high = result["accuracy_interval"]
    epoch = f" (epoch {result['epoch']})" if result["epoch"] else ""
    rows = {
        "checkpoint": f"{result['checkpoint']}{epoch}",
        "data": f"{result['dataset']}, {result['split']} split, {_selected(result)}{result['images']:,} images",
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


def explanation(found: "Explanation", *, as_json: bool) -> None:
    """Why an image is taken for what it is: how well the maps hold, the units that decided, where the pictures are."""
    if as_json:
        return _json(found.to_dict())
    rows = {
        "network": str(found.subject.file),
        "image": found.title,
        "prediction": f"{found.chosen}, probability {found.probabilities[found.chosen]:.4f}",
        "runner-up": f"{found.other}, probability {found.probabilities[found.other]:.4f}",
    }
    if found.note:
        rows["warning"] = found.note
    _facts(rows)
    maps = _table("logit", "black image", "this image", "sum of the map", "missed", "agreement: gradients", "saliency")
    for name, each in zip(found.names, found.attributions, strict=True):
        agreement = (NOTHING if value is None else f"{value:.2f}" for value in each.agreement.values())
        total = float(each.integrated_gradients.sum())
        figures = (f"{value:.2f}" for value in (each.baseline, each.value, total))
        maps.add_row(name, *figures, f"{each.residual:.2%}", *agreement)
    _print("", maps)
    if found.units:
        units = _table("hidden unit", "activation", "weight", f"speaks for {found.chosen}")
        for unit in found.units:
            units.add_row(str(unit.index), f"{unit.activation:.3f}", f"{unit.weight:+.3f}", f"{unit.contribution:+.3f}")
        _print("", units)
    _print("", *map(str, found.files))
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
        return _json(_plan(plan))
    sys.stdout.write(plan.config.to_yaml())
    table = _table("layer", "kind", "activation", "output", "parameters")
    for layer in plan.layers:
        activation = layer.arguments.get("activation", "")
        table.add_row(layer.name, layer.kind, activation, f"{layer.units:,}", f"{layer.parameters:,}")
    table.add_row("total", "", "", "", f"{plan.parameters:,}")
    _print("", table, "", plan.data, *([plan.transfer.describe()] if plan.transfer else []))
    return None


def previews(plans: "list[tuple[str, Preview]]", *, as_json: bool) -> None:
    """Several of them, each below its name."""
    if as_json:
        return _json([_plan(plan) for _, plan in plans])
    for number, (label, plan) in enumerate(plans):
        _print(*[""] * bool(number), f"# {label}")
        preview(plan, as_json=False)
    return None


def _plan(plan: "Preview") -> dict[str, Any]:
    layers = [
        {"name": layer.name, "kind": layer.kind, "units": layer.units, "parameters": layer.parameters}
        for layer in plan.layers
    ]
    transfer = plan.transfer.to_dict() if plan.transfer else None
    return {"config": plan.config.to_dict(), "layers": layers, "parameters": plan.parameters, "transfer": transfer}


def comparison(found: "Comparison", *, as_json: bool) -> None:
    """Runs beside each other, and what is to be known about their figures."""
    candidates = found.candidates
    if as_json:
        runs = [_candidate(one, found.settings, place) for place, one in enumerate(candidates)]
        return _json({"ranked_by": found.ranked_by, "remarks": found.remarks, "runs": runs})
    columns = {
        "run": [str(one.run) for one in candidates],
        "data": [_source(one) for one in candidates],
        **{key: list(map(_setting, values)) for key, values in found.settings.items()},
        **_figures(candidates),
    }
    lines = [*found.remarks, *_warnings(candidates)]
    _print(*_beside(columns), *[""] * bool(lines), *lines)
    return None


def _warnings(candidates: "Iterable[Standing]") -> list[str]:
    """What is to be known about their data, and of whose."""
    notes: dict[str, list[str]] = {}
    for one in candidates:
        if one.data["note"]:
            notes.setdefault(str(one.data["note"]), []).append(str(one.run))
    return [f"warning: {', '.join(which)}: {note}" for note, which in notes.items()]


def _candidate(one: "Candidate", settings: dict[str, list[Any]], place: int) -> dict[str, Any]:
    chosen = {key: values[place] for key, values in settings.items() if values[place] is not difference.ABSENT}
    return {"run": str(one.run), "settings": chosen, **_standing(one)}


def _standing(one: "Standing") -> dict[str, Any]:
    keys = ("epochs", "finished", "seconds", "parameters", "best")
    return {
        "dataset": one.data["name"],
        "note": one.data["note"],
        **{key: getattr(one, key) for key in keys},
        "test": one.test and {**asdict(one.test), "outdated": one.is_outdated},
    }


def _figures(candidates: "Sequence[Standing]") -> dict[str, list[str]]:
    """What the runs reached, a column each; those in which there would be nothing are left out."""

    def best(key: str, instead_of: str = "") -> list[str]:
        figures = [one.best if one.best and instead_of not in one.best else {} for one in candidates]
        return [f"{figure[key]:.4f}" if key in figure else NOTHING for figure in figures]

    tests = [one.test for one in candidates]
    intervals = [test and test.accuracy_interval for test in tests]
    columns = {
        "best epoch": [str(one.best["epoch"]) if one.best else NOTHING for one in candidates],
        "loss": best("loss", instead_of="val_loss"),
        "accuracy": best("accuracy", instead_of="val_accuracy"),
        "val loss": best("val_loss"),
        "val accuracy": best("val_accuracy"),
        "test accuracy": [f"{test.accuracy:.4f}" if test else NOTHING for test in tests],
        "95 % interval": [f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else NOTHING for ends in intervals],
        "epochs": list(map(_progress, candidates)),
        "parameters": [NOTHING if one.parameters is None else f"{one.parameters:,}" for one in candidates],
        "time": [f"{one.seconds:.1f} s" for one in candidates],
    }
    return {title: values for title, values in columns.items() if set(values) != {NOTHING}}


def _progress(one: "Standing") -> str:
    if not one.finished:
        return f"{one.epochs} of {one.wanted}, unfinished"
    return str(one.epochs) if one.epochs == one.wanted else f"{one.epochs}, stopped early"


def _setting(value: Any) -> str:
    return NOTHING if value is difference.ABSENT else difference.show(value)


def _source(one: "Standing") -> str:
    name, requested = one.data["name"], one.data["requested"]
    return f"{name}, not {requested}" if one.data["note"] else str(name)


def runs(entries: "list[Entry]", folder: Path | None, *, as_json: bool) -> None:
    """The runs of a folder with their states and figures, and below them how to go on with what is not done.

    A narrow terminal gets fewer figures, so that a run stays a line.
    """
    if as_json:
        return _json([_entry(entry) for entry in entries])
    if not entries:
        where = f" --run-dir {folder / 'mnist-1'}" if folder else ""
        return _print(f"there is no run in {folder or RUNS}/ yet; `dnn train -c mnist{where}` makes one")
    known = [entry.standing for entry in entries if entry.standing]
    figures = _figures(known)
    shown = ("loss", "accuracy", "val loss", "val accuracy", "time")
    columns: dict[str, list[str]] = {
        "run": [str(entry.run) for entry in entries],
        "state": [entry.state for entry in entries],
        "epoch": _scattered(map(_epoch, known), entries),
        **{title: _scattered(figures[title], entries) for title in shown if title in figures},
        "test accuracy": _scattered(map(_tested, known), entries),
        "data": _scattered(map(_source, known), entries),
        "age": [_ago(entry.written) for entry in entries],
    }
    columns = {title: values for title, values in columns.items() if set(values) != {NOTHING}}
    for title in ("time", "loss", "val loss", "accuracy", "data"):
        if not _fits(_filled(list(columns), zip(*columns.values(), strict=True))):
            columns.pop(title, None)
    lines = [line for entry in entries if entry.state != "done" for line in _outlook(entry)] + _warnings(known)
    _print(_filled(list(columns), zip(*columns.values(), strict=True)), *[""] * bool(lines), *lines)
    return None


def _entry(entry: "Entry") -> dict[str, Any]:
    written = datetime.fromtimestamp(entry.written, UTC).isoformat(timespec="seconds")
    known = {} if entry.standing is None else {"wanted": entry.standing.wanted, **_standing(entry.standing)}
    state = {"state": entry.state, "problem": entry.problem, "written": written, "next": entry.commands}
    return {"run": str(entry.run), **state, **known}


def _scattered(values: Iterable[str], entries: "Iterable[Entry]") -> list[str]:
    """A value for each entry: those of `values`, in order, for those of which there is something known."""
    remaining = iter(values)
    return [next(remaining) if entry.standing else NOTHING for entry in entries]


def _epoch(one: "Standing") -> str:
    return _progress(one) if one.finished else f"{one.epochs} of {one.wanted}"


def _tested(one: "Standing") -> str:
    if one.test is None:
        return NOTHING
    of = "another file" if one.test.epoch is None else f"epoch {one.test.epoch}"
    return f"{one.test.accuracy:.4f}" + f" of {of}" * one.is_outdated


def _outlook(entry: "Entry") -> list[str]:
    """What is wrong with a run, and the commands that go on with it."""
    what = entry.problem or f"{entry.run} was interrupted"
    ways = [f"; go on with: {command}" for command in entry.commands]
    return [what + "".join(ways)] if entry.problem or ways else []


def _ago(written: float) -> str:
    """How long ago that was, in the largest unit of which there is one."""
    seconds = max(0, int(time.time() - written))
    for name, length in (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if count := seconds // length:
            return f"{count} {name}{'s' * (name == 'day' and count > 1)} ago"
    return "now"


def run(details: "Details", *, as_json: bool) -> None:
    """One run: where it stands, its settings, environment, history, evaluations and files, and how to go on."""
    entry = details.entry
    if as_json:
        config = details.config and details.config.to_dict()
        parts = ("environment", "history", "metrics", "evaluations", "files")
        return _json({**_entry(entry), "config": config, **{part: getattr(details, part) for part in parts}})
    _facts(_overview(entry))
    tables = {
        "what is not at its default": _chosen(details),
        "environment": _environment(details.environment),
        "history": _history(details),
        "evaluations": _evaluations(details.evaluations),
        "files": _files(details.files),
    }
    for title, table in tables.items():
        if table.row_count:
            _print("", f"{title}:", table)
    _print(*[""] * bool(entry.commands), *(f"next: {command}" for command in entry.commands))
    return None


def _overview(entry: "Entry") -> dict[str, str]:
    moment = datetime.fromtimestamp(entry.written).astimezone()
    facts = {"run": str(entry.run), "state": entry.state}
    if one := entry.standing:
        facts |= {"data": _source(one), "epochs": ""} | {title: value for title, (value,) in _figures([one]).items()}
        facts |= {"epochs": _epoch(one)}
    facts |= {"last written": f"{moment:%Y-%m-%d %H:%M:%S %Z}, {_ago(entry.written)}"}
    remarks = [entry.problem, *([one.outdated, str(one.data["note"])] if one else [])]
    return facts | ({"warning": "; ".join(filter(None, remarks))} if any(remarks) else {})


def _chosen(details: "Details") -> Table:
    """The settings of a run that are not what they would be if nobody had set them."""
    differing = difference.variations([loading.parse("", ""), details.config]) if details.config else {}
    rows = [(key, _setting(value), _setting(default)) for key, (default, value) in differing.items()]
    return _filled(("setting", "value", "default"), rows)


def _environment(values: dict[str, Any]) -> Table:
    """What a run was begun with, a fact a row; nested ones are named by their paths."""
    if values.get("transfer"):
        from dnn_cli.training.transfer import TransferPlan

        values = values | {"transfer": TransferPlan.from_dict(values["transfer"]).describe()}
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        rows += [
            (f"{key} {name}".strip().replace("_", " "), _plain(fact)) for name, fact in inner if fact not in (None, "")
        ]
    table = Table("", Column(overflow="fold"), box=None, show_header=False, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    return table


def _plain(fact: Any) -> str:
    return " ".join(map(str, fact)) if isinstance(fact, list) else str(fact)


def _history(details: "Details") -> Table:
    """A row an epoch; of many, the first, those around the best, and the last."""
    rows, one = details.history, details.entry.standing
    best = one.best["epoch"] if one and one.best else 0
    ends = {*range(1, SHOWN_EPOCHS + 1), *range(len(rows) - SHOWN_EPOCHS + 1, len(rows) + 1)}
    kept = [row for row in rows if row["epoch"] in ends | {best} or len(rows) <= 3 * SHOWN_EPOCHS]
    table = _table(*(key.replace("_", " ") for key in rows[0])) if rows else _table()
    before = 0
    for row in kept:
        if row["epoch"] != before + 1:
            table.add_row("…")
        before = row["epoch"]
        mark = f"{before} best" if before == best else str(before)
        figures = [f"{value:.4f}" if _is_figure(key) else f"{value:.4g}" for key, value in list(row.items())[1:]]
        table.add_row(mark, *figures)
    return table


def _evaluations(found: dict[str, dict[str, Any]]) -> Table:
    table = _table("split", "data", "images", "epoch", "loss", "accuracy", "95 % interval")
    for name, values in found.items():
        score = Score.from_dict(values)
        low, high = score.accuracy_interval
        epoch = NOTHING if score.epoch is None else str(score.epoch)
        figures = (f"{score.loss:.4f}", f"{score.accuracy:.4f}", f"{low:.4f} to {high:.4f}")
        table.add_row(name, score.dataset, f"{score.images:,}", epoch, *figures)
    return table


def _files(sizes: dict[str, int]) -> Table:
    table = _table("file", "bytes")
    for name, size in sizes.items():
        table.add_row(name, f"{size:,}")
    return table


def _beside(columns: dict[str, list[str]]) -> list[Any]:
    """A table of a row for each run; where that is too wide for the terminal, tables of a column for each."""
    rows = list(zip(*columns.values(), strict=True))
    if _fits(whole := _filled(list(columns), rows)):
        return [whole]
    for count in range(len(rows), 0, -1):
        tables: list[Any] = []
        for start in range(0, len(rows), count):
            names, *values = zip(list(columns), *rows[start : start + count], strict=True)
            tables += [*[""] * bool(tables), _filled(names, values, width=COLUMN)]
        if count == 1 or all(_fits(table) for table in tables if table):
            break
    return tables


def _filled(titles: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None) -> Table:
    """A table in which what is too long, for the terminal or for columns of `width`, is broken and never cut."""
    table = _table(*titles)
    for column in table.columns:
        column.overflow, column.max_width = "fold", width
    for row in rows:
        table.add_row(*row)
    return table


def _fits(table: Table) -> bool:
    if not sys.stdout.isatty():
        return True
    console = Console(file=sys.stdout)
    return Measurement.get(console, console.options.update_width(UNLIMITED_WIDTH), table).maximum <= console.width


def report(result: "Report", *, as_json: bool) -> None:
    """Where the page is, and what it says."""
    if as_json:
        return _json({"report": str(result.file), "plots": list(map(str, result.plots)), **result.figures})
    _print(str(result.file), *map(str, result.plots), *(f"- {line}" for line in result.headlines))
    return None


def prediction(found: "Predictions", *, as_json: bool, as_csv: bool, show: bool) -> None:
    """What the network takes each image for; with `show`, each below the picture that it saw."""
    if as_json or as_csv:
        sys.stdout.write(found.to_json() if as_json else found.to_csv())
        return
    guesses = found.guesses
    if not show:
        if guesses:
            _print(_guesses(guesses))
        return
    for number, guess in enumerate(guesses):
        _print(*[""] * bool(number), *_picture(guess.image), colours="auto")
        _print(_guesses([guess]))


def _guesses(guesses: "Sequence[Prediction]") -> Table:
    table = _table("file", "digit", "probability", "runner-up", "probability")
    for guess in guesses:
        first, second = (f"{guess.probabilities[which]:.4f}" for which in (guess.digit, guess.runner_up))
        table.add_row(Text(guess.file), str(guess.digit), first, str(guess.runner_up), second)
    return table


def _picture(image: "Array") -> list[Text]:
    """A grey picture (height, width) of uint8: two pixels in a half block, or where colours cannot be, each twice."""
    if not (sys.stdout.isatty() and not os.environ.get("NO_COLOR") and _can_print(HALF_BLOCK)):
        steps = image.astype(int) * len(SHADES) // 256
        return [Text("".join(SHADES[step] * 2 for step in row)) for row in steps]
    rows = [[f"rgb({level},{level},{level})" for level in row] for row in image.tolist()]
    rows += [["default"] * image.shape[1]] * (len(rows) % 2)
    return [
        Text.assemble(*((HALF_BLOCK, f"{above} on {below}") for above, below in zip(*pair, strict=True)))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


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


def _selected(result: dict[str, Any]) -> str:
    """The classes that were picked, where not all were."""
    classes = result["selected_classes"]
    return f"classes {' '.join(map(str, classes))}, " if classes else ""


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


def _print(*things: Any, colours: Literal["standard", "auto"] = "standard") -> None:
    """Print tables and lines, those whole, so that they can be copied; with no colours where none are wanted."""
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


def _json(values: Any) -> None:
    sys.stdout.write(json.dumps(values, indent=2) + "\n")
