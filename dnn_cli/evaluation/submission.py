"""Predict the rows of a CSV file of pixels, in the form that Kaggle takes: ``ImageId,Label``."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dnn_cli import files
from dnn_cli.data.class_names import show
from dnn_cli.data.reading import Reading
from dnn_cli.data.sources import csv_rows, csv_table
from dnn_cli.errors import DataError, UsageError
from dnn_cli.evaluation import model_source
from dnn_cli.evaluation.model_source import Engine


def is_table(names: Sequence[str]) -> bool:
    """Return whether the user named a CSV file instead of image files; raises `UsageError` if it is one of several."""
    tables = [name for name in names if name.lower().endswith(csv_table.SUFFIXES)]
    if tables and len(names) > 1:
        raise UsageError(f"{tables[0]} must be given alone: its rows are predicted, not files")
    return bool(tables)


def predict(
    target: Path | None,
    table: Path,
    *,
    checkpoint: str = "best",
    engine: Engine | None = None,
    notify: Callable[[str], None],
    verbose: bool = False,
) -> str:
    """Predict each row of a CSV file; a column of labels is ignored.

    Args:
        target: a run or a ``.keras`` file; None for the newest run in ``runs/``.
        table: the CSV file, gzipped or not.
        checkpoint: ``best``, ``last`` or a ``.keras`` file.
        engine: computes with it; None for NumPy if it supports the network, and Keras otherwise.
        notify: is called with each warning, one line per call.
        verbose: let TensorFlow print its own messages.

    Returns:
        A CSV text: the number of each row, from 1, and its class, by name if the classes have names.

    Raises:
        UsageError: there is no such run.
        DataError: the file is damaged, holds no pixels, or its images do not fit the network.
    """
    source = model_source.find_model(target, checkpoint)
    if target is None:
        notify(f"note: {source.run} is used, the newest run")
    header = csv_rows.read_header(table)
    if header.path is not None:
        raise DataError(f"{table}: has a column of paths instead of pixels; name the image files themselves")
    config = source.run.config() if source.run else None
    reading = Reading.of(config.data, config.seed) if config else Reading()
    images, _ = csv_rows.read_pixels(table, header, reading)
    probabilities = model_source.probabilities(source.file, images, engine=engine, notify=notify, verbose=verbose)
    candidates = np.array(source.selected_classes or range(probabilities.shape[1]))
    labels = candidates[probabilities[:, candidates].argmax(axis=1)].tolist()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["ImageId", "Label"])
    writer.writerows([number, show(label, source.class_names)] for number, label in enumerate(labels, start=1))
    return text.getvalue()


def check_output(file: Path) -> None:
    """Raise `UsageError` if the result could not be written to `file`."""
    files.check_output(file, suffixes=(".csv",))
