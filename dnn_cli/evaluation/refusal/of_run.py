"""The detector of a run: it is trained when it is first needed, and kept in the run."""

from collections.abc import Callable

import numpy as np

from dnn_cli.data import datasets, known_sets
from dnn_cli.data.digit_normalization import IMAGE_SIDE
from dnn_cli.errors import DataError, RunError
from dnn_cli.evaluation import evaluate
from dnn_cli.evaluation.model_source import ModelSource
from dnn_cli.evaluation.refusal.detector import Detector
from dnn_cli.progress import Progress, QuietProgress
from dnn_cli.runs.directory import RunDirectory

REASON = "it looks like no digit"
MIN_DIGITS = 1000  # fewer training images tell too little about what a digit looks like


def find(source: ModelSource, notify: Callable[[str], None], progress: Progress | None = None) -> Detector | None:
    """Return the detector of a network's run, which is trained on the run's training images if there is none yet.

    Args:
        source: the network.
        notify: is called with the reason if the training images cannot be read, or the run not written.
        progress: shows that something takes a few seconds.

    Returns:
        None for networks that were not trained on digits in the format of MNIST, and without training images.

    Raises:
        RunError: the run's detector is damaged.
    """
    run = source.run
    if run is None or not knows_digits(run):
        return None
    if run.has_refusal():
        try:
            return Detector.read(run.refusal_file)
        except RunError as error:
            raise RunError(f"{error}; delete it, and the next prediction makes it again") from None
    try:
        datasets.find(run.environment().dataset.name, split=None)  # nothing is downloaded for a prediction
        _, split, _ = evaluate.material(source, "train")
    except (DataError, RunError) as error:
        problem = str(error).splitlines()[0]
        notify(f"note: what shows no digit is not told from digits, because that needs the training images: {problem}")
        return None
    if len(split.labels) < MIN_DIGITS or len(np.unique(split.labels)) < 2:
        return None
    with (progress or QuietProgress()).waiting("learning what is no digit, which takes seconds, once for each run"):
        detector = Detector.fit(split.images, split.labels, run.config().seed)
    try:
        run.write_refusal(detector.write)
    except RunError as error:
        notify(f"note: {error}, so what is no digit has to be learned again")
    return detector


def knows_digits(run: RunDirectory) -> bool:
    """Return whether a run was trained on images that are known to show digits in the format of MNIST."""
    dataset = run.environment().dataset
    known = known_sets.KNOWN_DATASETS.get(dataset.name)
    is_format = dataset.image_shape in (None, (IMAGE_SIDE, IMAGE_SIDE)) and dataset.resize is None
    return known is not None and known.subject == known_sets.KNOWN_DATASETS["mnist"].subject and is_format
