"""Decide from a run's history whether training should stop early."""

from dnn_cli.config.schema import EarlyStopping
from dnn_cli.runs.records import Row
from dnn_cli.runs.state import is_higher_better


def should_stop(history: list[Row], stopping: EarlyStopping | None) -> bool:
    """Return whether the monitored metric has not improved for `patience` epochs, counted as Keras's EarlyStopping."""
    if stopping is None:
        return False
    sign = -1 if is_higher_better(stopping.monitor) else 1
    best, waited = float("inf"), 0
    for row in history:
        value = sign * row[stopping.monitor]
        if value < best - stopping.min_delta:
            best, waited = value, 0
        else:
            waited += 1
    return waited >= stopping.patience
