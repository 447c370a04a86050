"""A complete `dnn train --engine numpy`, with run directory, checkpoints and history, and the evaluation after it."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from contenders import Tick
from dnn_cli import progress
from dnn_cli.config import loading
from dnn_cli.config.loading import Override
from dnn_cli.evaluation import evaluate
from dnn_cli.training import loop


class Ticks(progress.QuietProgress):
    """Call `tick` when training starts and after every epoch."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick

    def begin(self, done: int, epochs: int, steps: int, images: int) -> None:
        """Record the start of the training."""
        self._tick()

    def epoch(self, row: dict[str, Any]) -> None:
        """Record the end of an epoch."""
        self._tick()


def train(epochs: int, tick: Tick) -> float:
    """Train as `contenders` describes."""
    settings = ("engine=numpy", f"training.epochs={epochs}", f"data.dataset={os.environ['DNN_BENCH_DATASET']}")
    config = loading.load("mnist", map(Override.parse, [*settings, "data.fallback=null"]))
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        loop.start(config, "benchmark", Ticks(tick), folder=run)
        accuracy = evaluate.evaluate(run, notify=lambda _: None).accuracy
    if "tensorflow" in sys.modules:
        sys.exit("error: engine: numpy imported TensorFlow")
    return accuracy
