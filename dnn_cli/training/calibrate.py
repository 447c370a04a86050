"""Calibrate the best network of a run on the images that were held out of its training."""

import numpy as np
from threadpoolctl import threadpool_limits

from dnn_cli.data.datasets import Split
from dnn_cli.engines.numpy import build, keras_format
from dnn_cli.errors import RunError
from dnn_cli.runs.calibration import Calibration
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.state import State


def calibrate(run: RunDirectory, state: State, held_out: Split) -> None:
    """Write the calibration of the best checkpoint, unless that is damaged or the images do not tell a temperature.

    NumPy computes the network, whichever engine trained it, with one thread: the last digits would depend on their
    number.

    Args:
        run: the run, locked by this process.
        state: its state.
        held_out: the images that were held out of the training.

    Raises:
        RunError: the calibration cannot be written.
    """
    best = state.last.best
    try:
        loaded = keras_format.load(run.checkpoint("best")[0])
    except RunError:  # The best checkpoint was damaged before a run was resumed, which reported that.
        return
    with threadpool_limits(1, user_api="blas"):
        probabilities = build.predict(loaded.network, held_out.images, loaded.batch)
    if np.isfinite(probabilities).all():
        found = Calibration.fit(best.sha256, best.epoch, probabilities, held_out.labels)
        if found:
            run.write_calibration(found)
