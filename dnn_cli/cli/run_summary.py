"""Format what several commands print about a run: metrics, epochs, dataset, age."""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dnn_cli.cli.tables import NOTHING, side_by_side

if TYPE_CHECKING:
    from dnn_cli.runs.seed_groups import ConfigComparison
    from dnn_cli.runs.status import RunStatus

TEST_KEYS = ("dataset", "fingerprint", "images", "epoch", "loss", "accuracy", "accuracy_interval")


def figures(runs: "Sequence[RunStatus]") -> dict[str, list[str]]:
    """Return a table column, heading and one cell per run, for each figure that at least one run has."""

    def best(key: str, instead_of: str = "") -> list[str]:
        rows = [one.best if one.best and instead_of not in one.best else {} for one in runs]
        return [f"{row[key]:.4f}" if key in row else NOTHING for row in rows]

    tests = [one.test for one in runs]
    intervals = [test and test.accuracy_interval for test in tests]
    columns = {
        "best epoch": [str(one.best["epoch"]) if one.best else NOTHING for one in runs],
        "loss": best("loss", instead_of="val_loss"),
        "accuracy": best("accuracy", instead_of="val_accuracy"),
        "val loss": best("val_loss"),
        "val accuracy": best("val_accuracy"),
        "test accuracy": [f"{test.accuracy:.4f}" if test else NOTHING for test in tests],
        "95 % interval": [f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else NOTHING for ends in intervals],
        "epochs": list(map(finished_epochs, runs)),
        "parameters": [NOTHING if one.parameters is None else f"{one.parameters:,}" for one in runs],
        "time": [f"{one.seconds:.1f} s" for one in runs],
    }
    return {title: values for title, values in columns.items() if set(values) != {NOTHING}}


def finished_epochs(one: "RunStatus") -> str:
    """Return the number of epochs, and the reason if it differs from the config's: ``3 of 10, unfinished``."""
    if not one.finished:
        return f"{one.epochs} of {one.wanted}, unfinished"
    return str(one.epochs) if one.epochs == one.wanted else f"{one.epochs}, stopped early"


def epoch(one: "RunStatus") -> str:
    """Return the number of epochs in few characters: ``10``, ``3 of 10`` or ``7, stopped early``."""
    return finished_epochs(one) if one.finished else f"{one.epochs} of {one.wanted}"


def data_source(one: "RunStatus") -> str:
    """Return the name of the dataset: ``mnist``, or ``mnist-sample, not mnist`` if the run used the fallback."""
    name, requested = one.data.name, one.data.requested
    return f"{name}, not {requested}" if one.data.note else name


def data_warnings(runs: "Iterable[RunStatus]") -> list[str]:
    """Return each different warning about the data of runs once, with the paths of these runs."""
    notes: dict[str, list[str]] = {}
    for one in runs:
        if one.data.note:
            notes.setdefault(one.data.note, []).append(str(one.run))
    return [f"warning: {', '.join(which)}: {note}" for note, which in notes.items()]


def setting(value: Any) -> str:
    """Return the text of a config value in a table; `NOTHING` if the config does not have the key."""
    from dnn_cli.config import difference

    return NOTHING if value is difference.ABSENT else difference.show(value)


def selected_classes(classes: tuple[int, ...] | None, names: Sequence[str] | None = None) -> str:
    """Return ``classes 0 1 2,`` and a space for a training or an evaluation of some classes; empty for all classes."""
    shown = [names[label] if names and names[label] else str(label) for label in classes or ()]
    return f"classes {' '.join(shown)}, " if shown else ""


def is_metric(name: str) -> bool:
    """Return whether a column of the training history is a loss or an accuracy."""
    return name not in ("epoch", "learning_rate", "seconds")


def age(written: float) -> str:
    """Return the time since `written`, in seconds since 1970, in the largest possible unit: ``3 h ago``."""
    seconds = max(0, int(time.time() - written))
    for name, length in (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if count := seconds // length:
            return f"{count} {name}{'s' * (name == 'day' and count > 1)} ago"
    return "now"


def metrics_to_json(one: "RunStatus") -> dict[str, Any]:
    """Return the metrics of a run as JSON values."""
    keys = ("epochs", "finished", "seconds", "parameters", "best")
    return {
        "dataset": one.data.name,
        "note": one.data.note,
        **{key: getattr(one, key) for key in keys},
        "test": one.test and {**{key: getattr(one.test, key) for key in TEST_KEYS}, "outdated": one.is_outdated},
    }


def status_to_json(status: "RunStatus") -> dict[str, Any]:
    """Return the state and the metrics of a run as JSON values."""
    written = datetime.fromtimestamp(status.written, UTC).isoformat(timespec="seconds")
    known = {"wanted": status.wanted, **metrics_to_json(status)} if status.is_readable else {}
    state = {"state": status.state, "problem": status.problem, "written": written, "next": status.commands}
    return {"run": str(status.run), **state, **known}


def config_table(found: "ConfigComparison") -> list[Any]:
    """Return a table of the configs with their accuracies over seeds: mean ± standard deviation (95 % interval)."""
    from dnn_cli.runs.criteria import ACCURACIES, CRITERIA

    columns = {
        "config": [group.name for group in found.groups],
        "seeds": [" ".join(map(str, group.seeds)) for group in found.groups],
    }
    for criterion in (CRITERIA[name] for name in ACCURACIES):
        spreads = [group.spread(criterion) for group in found.groups]
        if any(spreads):
            columns[criterion.title] = [str(spread) if spread else NOTHING for spread in spreads]
    return side_by_side(columns)
