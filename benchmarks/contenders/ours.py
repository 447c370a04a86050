"""`dnn_cli`: its compiled epoch alone, variants of it, and the overhead of a complete training."""

import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from contenders import Tick
from dnn_cli.config import loading
from dnn_cli.config.loading import Override
from dnn_cli.config.schema import Config
from dnn_cli.data import datasets, selection
from dnn_cli.engines.keras import tensorflow_import

VARIANTS = {
    "textbook": [],
    "dropout": ["model.layers=[{units: 128, dropout: 0.2}]"],
    "batch normalization": ["model.layers=[{units: 128, batch_normalization: true}]"],
    "batch 128": ["training.batch_size=128"],
    "batch 512": ["training.batch_size=512"],
    "512-512": ["model.layers=[512, 512]"],
    "2048-1024-512": ["model.layers=[2048, 1024, 512]"],
}


def train(epochs: int, tick: Tick) -> float:
    """Train as `contenders` describes: `configs/mnist.yaml` without run directory, checkpoints and history."""
    config, dataset = _config([]), _dataset()
    network, images, labels = _network(config, dataset.load("train"))
    tick()
    epoch = _compiled(config, network, images, labels)
    for number in range(epochs):
        epoch.run(number)
        tick()
    from dnn_cli.engines.keras.epoch import Evaluation

    test = dataset.load("test")
    return float(Evaluation(network, test.images, test.labels).run()["accuracy"])


def variants(epochs: int, names: list[str]) -> dict[str, float]:
    """Return the seconds per epoch of each of the `names` in `VARIANTS`.

    All are compiled first. Then they take turns, so that a change in the machine's speed affects all of them.
    """
    split = _dataset().load("train")
    compiled = {}
    for name in names:
        config = _config(VARIANTS[name])
        compiled[name] = _compiled(config, *_network(config, split))
        compiled[name].run(0)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(1, epochs + 1):
        for name, epoch in compiled.items():
            started = time.perf_counter()
            epoch.run(number)
            seconds[name].append(time.perf_counter() - started)
    return {name: median(values) for name, values in seconds.items()}


def overhead(epochs: int) -> dict[str, float]:
    """Return the seconds per epoch of a complete training (``whole``) and of the compiled epoch alone (``bare``).

    Both train on the same images. The complete training is timed from the start of one epoch to the start of the next,
    which includes the evaluation of the validation images, the checkpoint, the history and the progress lines. Neither
    includes the first epoch, which compiles.
    """
    tensorflow_import.import_tensorflow()
    import keras

    from dnn_cli import progress
    from dnn_cli.training import loop

    split = _dataset().load("train")
    held_out = len(split.labels) // 12  # 5,000 of MNIST's 60,000
    config = _config([f"data.validation={held_out}", f"training.epochs={epochs + 2}"])
    begins: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begins.append(time.perf_counter()))
    with tempfile.TemporaryDirectory() as folder:
        display = progress.create(quiet=False)
        loop.start(config, "benchmark", display, folder=Path(folder, "run"), callbacks=[clock])
    whole = [later - sooner for sooner, later in pairwise(begins[1:])]

    rest, _ = selection.hold_out(split, held_out, config.seed)
    epoch = _compiled(config, *_network(config, rest))
    epoch.run(0)
    bare = []
    for number in range(1, epochs + 1):
        started = time.perf_counter()
        epoch.run(number)
        bare.append(time.perf_counter() - started)
    return {"whole": median(whole), "bare": median(bare)}


def _config(settings: list[str]) -> Config:
    dataset = os.environ["DNN_BENCH_DATASET"]
    return loading.load("mnist", map(Override.parse, [f"data.dataset={dataset}", "data.fallback=null", *settings]))


def _dataset() -> datasets.Dataset:
    return datasets.find(os.environ["DNN_BENCH_DATASET"])


def _network(config: Config, split: datasets.Split) -> tuple[Any, Any, Any]:
    tensorflow_import.import_tensorflow()
    from dnn_cli.engines.keras import build
    from dnn_cli.engines.network_spec import network_spec

    spec = network_spec(config, split.images.shape[1:], split.classes)
    return build.build(spec, config), split.images, split.labels


def _compiled(config: Config, network: Any, images: Any, labels: Any) -> Any:
    from dnn_cli.engines.keras.epoch import CompiledEpoch

    return CompiledEpoch(network, images, labels, batch_size=config.training.batch_size, seed=config.seed)
