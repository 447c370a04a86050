"""Evaluate a trained network on a split: accuracy, loss, calibration, and the figures of each class."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dnn_cli.config.messages import did_you_mean
from dnn_cli.data import datasets, selection
from dnn_cli.data.datasets import Dataset, Split
from dnn_cli.data.reading import Color, Part, Reading
from dnn_cli.errors import DataError, RunError, UsageError
from dnn_cli.evaluation import metrics, model_source
from dnn_cli.evaluation.model_source import ModelSource
from dnn_cli.files import write_failure
from dnn_cli.runs.records import Evaluation
from dnn_cli.typing import Array

SPLITS = ("test", "validation", "train")


def evaluate(
    target: Path | None,
    *,
    split: str = "test",
    dataset: str | None = None,
    checkpoint: str = "best",
    notify: Callable[[str], None],
    verbose: bool = False,
) -> Evaluation:
    """Classify every image of a split and compute the figures; they are also written to the run's ``evaluation/``.

    Args:
        target: a run or a ``.keras`` file; None for the newest run in ``runs/``.
        split: one of `SPLITS`; ``train`` holds the images trained on, ``validation`` those held out of them.
        dataset: another dataset than the run's: a known name or a path.
        checkpoint: ``best``, ``last`` or a ``.keras`` file.
        notify: is called with each warning, one line per call.
        verbose: let TensorFlow print its own messages.

    Raises:
        UsageError: there is no such run, file or split.
        DataError: the data are missing, damaged or do not fit the network.
        RunError: the run or the file is damaged, or the run's data have changed.
    """
    if split not in SPLITS:
        raise UsageError(
            f"there is no split {split!r}{did_you_mean(str(split), SPLITS)}; the splits are {', '.join(SPLITS)}"
        )
    subject = model_source.find_model(target, checkpoint)
    source, images, note = material(subject, split, dataset)
    if note:
        notify(f"warning: {note}")
    file, engine = subject.file, subject.engine
    probabilities = model_source.probabilities(
        file, images.images, engine=engine, threads=subject.threads, notify=notify, verbose=verbose
    )
    check_labels(file, images, probabilities)
    names = subject.class_names or source.class_names
    result = Evaluation(
        run=str(subject.run) if subject.run else None,
        checkpoint=str(subject.file),
        epoch=subject.epoch,
        split=split,
        dataset=source.name,
        note=note,
        selected_classes=subject.selected_classes,
        fingerprint=images.fingerprint(),
        **vars(metrics.score(probabilities, images.labels, names, subject.calibration)),
    )
    if subject.run:
        name = split if dataset is None else f"{Path(source.name).stem}-{split}"
        try:
            subject.run.write_evaluation(name, result)
        except OSError as error:
            notify(f"warning: the result was not saved: {write_failure(subject.run, error)}")
    return result


def material(subject: ModelSource, split: str, dataset: str | None = None) -> tuple[Dataset, Split, str]:
    """Return the images to evaluate a network on.

    Args:
        subject: the network.
        split: one of `SPLITS`.
        dataset: another dataset than its run's: a known name or a path.

    Returns:
        Their dataset, those images whose classes the network was trained on, and a warning about the dataset; the
        warning is empty if there is none.
    """
    source = _dataset(subject, dataset, split)
    return source, _split(subject, source, split), _note(subject, source)


def check_labels(file: Path, split: Split, probabilities: Array) -> None:
    """Raise `DataError` unless the network in `file`, which predicted (n, classes), has all classes of `split`."""
    if split.classes > (classes := probabilities.shape[1]):
        raise DataError(
            f"the labels go up to {split.classes - 1}, but {file} predicts only the labels 0 to {classes - 1}"
        )


def _dataset(subject: ModelSource, dataset: str | None, split: str) -> Dataset:
    if split == "validation" and (dataset is not None or subject.run is None):
        raise UsageError(
            "--split validation needs a RUN and no --data: these images are held out of the run's own data"
        )
    part: Part = "test" if split == "test" else "train"
    if subject.run is None:
        return datasets.find(dataset or "mnist", split=part, reading=_reading_for(subject))
    config, recorded = subject.run.config(), subject.run.environment().dataset.name
    reading = Reading.of(config.data, config.seed)
    if dataset is not None and dataset != recorded:
        # Other data than the run's are read in the same way, and matched by name; all of them may be tested.
        reading = replace(reading, keys=(), expected_classes=subject.class_names, test=None)
    return datasets.find(dataset or recorded, split=part, reading=reading)


def _reading_for(subject: ModelSource) -> Reading:
    """Return how data are read for a network without a run: pictures get the size and the colours of its inputs."""
    try:
        shape = model_source.image_shape(subject.file)
    except RunError:  # Whatever is wrong with the file is reported when it is loaded.
        shape = ()
    size = (shape[0], shape[1]) if len(shape) > 1 else None
    color: Color | None = None if size is None else "rgb" if shape[2:] == (3,) else "grey"
    return Reading(size, color, expected_classes=subject.class_names, test=None)


def _split(subject: ModelSource, source: Dataset, split: str) -> Split:
    everything = source.load("test" if split == "test" else "train")
    recorded = subject.run.environment().dataset if subject.run else None
    if split == "test" or subject.run is None or recorded is None or source.name != recorded.name:
        chosen = selection.of_classes(everything, subject.selected_classes)
        if not len(chosen.labels):
            raise DataError(
                f"{source.path} has no images of the classes that {subject.run} was trained on (data.classes)"
            )
        return chosen
    if everything.fingerprint() != recorded.fingerprint:
        raise RunError(
            f"{source.path} has changed since {subject.run} was trained on it, so its splits cannot be selected again; "
            "restore it, or use --split test"
        )
    config = subject.run.config()
    data = selection.select_training_data(source, config.data, config.seed)
    if split == "train":
        return data.training
    if data.held_out is None:
        raise UsageError(f"{subject.run} has no validation images: data.validation is 0")
    return data.held_out


def _note(subject: ModelSource, source: Dataset) -> str:
    """Return the warning about `source`: the recorded one if the run was trained on it, otherwise its own."""
    if subject.run is None:
        return source.note
    recorded = subject.run.environment().dataset
    return recorded.note if recorded.name == source.name else source.note
