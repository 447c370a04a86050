"""The command `dnn show`: print everything that is recorded about one run."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnn_cli.cli import options
from dnn_cli.cli.run_summary import age, data_source, epoch, figures, is_metric, setting, status_to_json
from dnn_cli.cli.tables import NOTHING, facts, folded, print_facts, print_json, print_lines, table

if TYPE_CHECKING:
    from rich.table import Table

    from dnn_cli.runs.records import Environment, Evaluation
    from dnn_cli.runs.status import RunDetails, RunStatus

SHOWN_EPOCHS = 5  # rows shown at the start and at the end of a long history


@click.command
@click.argument("path", type=click.Path(path_type=Path), metavar="[RUN]", required=False)
@options.as_json
def show(path: Path | None, as_json: bool) -> None:
    """Print one run: settings, environment, history, metrics, files.

    RUN is a run directory, by default the newest in runs/. The checksums of its checkpoints are verified. If the run
    is damaged, everything that can be read is printed and the exit code is 1.

    \b
    Examples:
      dnn show
      dnn show runs/mnist-1
      dnn show runs/mnist-1 --json
    """
    from dnn_cli.runs import status
    from dnn_cli.runs.directory import RunDirectory

    details = status.inspect_run(RunDirectory.open(path) if path else RunDirectory.newest())
    print_run(details, as_json=as_json)
    details.status.raise_if_damaged()


def print_run(details: "RunDetails", *, as_json: bool) -> None:
    """Print everything that is recorded about a run, and the commands that evaluate or resume it."""
    status = details.status
    if as_json:
        print_json(_to_json(details))
        return
    print_facts(_overview(status))
    tables = {
        "settings that differ from the default": _settings(details),
        "environment": _environment(details.environment),
        "history": _history(details),
        "evaluations": _evaluations(details.evaluations),
        "files": _files(details.files),
    }
    for title, rows in tables.items():
        if rows.row_count:
            print_lines("", f"{title}:", rows)
    if status.commands:
        print_lines("")
    for command in status.commands:
        print_lines(f"next: {command}")


def _to_json(details: "RunDetails") -> dict[str, Any]:
    return {
        **status_to_json(details.status),
        "config": details.config and details.config.to_dict(),
        "environment": details.environment.to_dict() if details.environment else {},
        "history": details.history,
        "metrics": details.metrics and details.metrics.to_dict(),
        "evaluations": {name: evaluation.to_dict() for name, evaluation in details.evaluations.items()},
        "files": details.files,
    }


def _overview(status: "RunStatus") -> dict[str, str]:
    moment = datetime.fromtimestamp(status.written).astimezone()
    rows = {"run": str(status.run), "state": status.state}
    if status.is_readable:
        rows |= {"data": data_source(status), "epochs": ""}
        rows |= {title: value for title, (value,) in figures([status]).items()} | {"epochs": epoch(status)}
    rows |= {"last written": f"{moment:%Y-%m-%d %H:%M:%S %Z}, {age(status.written)}"}
    remarks = [status.problem, *([status.outdated, status.data.note] if status.is_readable else [])]
    return rows | ({"warning": "; ".join(filter(None, remarks))} if any(remarks) else {})


def _settings(details: "RunDetails") -> "Table":
    """Return a row for each setting that differs from its default."""
    from dnn_cli.config import difference
    from dnn_cli.config.schema import Config

    differing = difference.variations([Config(), details.config]) if details.config else {}
    rows = [(key, setting(value), setting(default)) for key, (default, value) in differing.items()]
    return folded(("setting", "value", "default"), rows)


def _environment(record: "Environment | None") -> "Table":
    """Return a row for each value recorded when the run started; a nested value is named by its path."""
    values = record.to_dict() if record else {}
    if record and record.transfer:
        values["transfer"] = record.transfer.describe()
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        rows += [
            (f"{key} {name}".strip().replace("_", " "), _plain(fact)) for name, fact in inner if fact not in (None, "")
        ]
    return facts(rows)


def _plain(fact: Any) -> str:
    return " ".join(map(str, fact)) if isinstance(fact, list) else str(fact)


def _history(details: "RunDetails") -> "Table":
    """Return a row for each epoch; of a long history only the first, the last and the best epochs."""
    rows = details.history
    best = details.status.best["epoch"] if details.status.best else 0
    ends = {*range(1, SHOWN_EPOCHS + 1), *range(len(rows) - SHOWN_EPOCHS + 1, len(rows) + 1)}
    kept = [row for row in rows if row["epoch"] in ends | {best} or len(rows) <= 3 * SHOWN_EPOCHS]
    epochs = table(*(key.replace("_", " ") for key in rows[0])) if rows else table()
    before = 0
    for row in kept:
        if row["epoch"] != before + 1:
            epochs.add_row("…")
        before = row["epoch"]
        mark = f"{before} best" if before == best else str(before)
        values = [f"{value:.4f}" if is_metric(key) else f"{value:.4g}" for key, value in list(row.items())[1:]]
        epochs.add_row(mark, *values)
    return epochs


def _evaluations(found: "dict[str, Evaluation]") -> "Table":
    scores = table("split", "data", "images", "epoch", "loss", "accuracy", "95 % interval")
    for name, score in found.items():
        low, high = score.accuracy_interval
        of = NOTHING if score.epoch is None else str(score.epoch)
        cells = (f"{score.loss:.4f}", f"{score.accuracy:.4f}", f"{low:.4f} to {high:.4f}")
        scores.add_row(name, score.dataset, f"{score.images:,}", of, *cells)
    return scores


def _files(sizes: dict[str, int]) -> "Table":
    files = table("file", "bytes")
    for name, size in sizes.items():
        files.add_row(name, f"{size:,}")
    return files
