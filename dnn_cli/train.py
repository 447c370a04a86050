"""The story of a training: data → model → epochs, each one saved → summary; begun, or gone on with."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from dnn_cli import backend, data, transfer
from dnn_cli import config as configs
from dnn_cli import run as runs
from dnn_cli.checkpoint import Checkpoints
from dnn_cli.config import Config, EarlyStopping
from dnn_cli.data import Dataset, Split
from dnn_cli.engines import Callbacks, Engine, KerasEngine, NumpyEngine
from dnn_cli.errors import DataError, RunError, TrainingError, UsageError
from dnn_cli.interrupts import Interrupts
from dnn_cli.model import Layer, blueprint, count_parameters
from dnn_cli.progress import Progress
from dnn_cli.run import Row, Run, State
from dnn_cli.transfer import Origin, Source

if TYPE_CHECKING:
    from dnn_cli.board import Board


@dataclass(frozen=True)
class Result:
    """What a training came to: its run, and the summary that `metrics.json` holds."""

    run: Run
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Preview:
    """What a config would train: its layers, a sentence about the data, and the weights it would start from."""

    config: Config
    layers: list[Layer]
    data: str
    origin: Origin | None = None

    @property
    def parameters(self) -> int:
        """How many numbers the network would hold."""
        return count_parameters(self.layers)


@dataclass(frozen=True)
class Material:
    """What there is to train on, and to judge by if anything is held out."""

    dataset: Dataset
    training: Split
    held_out: Split | None
    classes: int
    selected: tuple[int, ...] | None
    fingerprint: str

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and, if there are any, channels."""
        return tuple(self.training.images.shape[1:])

    def describe(self) -> dict[str, Any]:
        """What `environment.json` says of it."""
        return {
            "name": self.dataset.name,
            "requested": self.dataset.requested,
            "note": self.dataset.note,
            "path": str(self.dataset.path),
            "fingerprint": self.fingerprint,
            "training_images": len(self.training.labels),
            "validation_images": len(self.held_out.labels) if self.held_out else 0,
            "classes": self.classes,
            "selected_classes": self.selected,
            "image_shape": list(self.image_shape),
        }


def preview(config: Config, *, folder: Path | None = None, run: Run | None = None) -> Preview:
    """What `config` would train, into a new run at `folder` or going on with `run`.

    Downloads nothing, writes nothing and imports no TensorFlow.

    Raises:
        DnnError: what `start` or `resume` would refuse.
    """
    _check_extras(config)
    if folder is not None:
        runs.check_free(folder)
    if run is not None:
        _check_same(run, config)
    source = _source(config) if run is None else None
    name = config.data.dataset
    if name in data.KNOWN:
        place = "which is here" if _is_present(name) else "which is not here: training would download it"
        layers, origin = _design_for_known(config, source)
        return Preview(config, layers, f"data: {name}, {place}", origin)
    material = read(config, data.find(name))
    layers, origin = _design(config, material, source)
    seen = f"data: {material.dataset.path}, {len(material.training.labels):,} training images"
    return Preview(config, layers, seen, origin)


def check(config: Config, dataset: Dataset) -> None:
    """Raise the `DnnError` with which a training of `config` on `dataset` would refuse to begin."""
    _check_extras(config)
    _design(config, read(config, dataset), _source(config))


def start(
    config: Config,
    name: str,
    progress: Progress,
    *,
    folder: Path | None = None,
    dataset: Dataset | None = None,
    verbose: bool = False,
    callbacks: Callbacks = (),
) -> Result:
    """Train a new network into a new run.

    Args:
        config: what to train.
        name: of the config; the run is ``runs/<name>-<n>`` unless `folder` says otherwise.
        progress: what is told on the way.
        folder: where the run is to be.
        dataset: what `config` names, if it was found already.
        verbose: let TensorFlow's own messages through.
        callbacks: Keras callbacks, called where an epoch begins and ends.

    Raises:
        DnnError: what any of the rooms refuses; `TrainingError` if the loss stops being a number.
    """
    _check_extras(config)
    if folder is not None:
        runs.check_free(folder)
    source = _source(config)
    if config.data.dataset in data.KNOWN:
        _design_for_known(config, source)  # refuses early what cannot be trained
    material = _load(config, config.data.dataset, config.data.fallback, dataset, verbose=verbose)
    _, origin = _design(config, material, source)
    if material.dataset.note:
        progress.warn(material.dataset.note)
    if origin is not None:
        progress.note(origin.describe())
    environment = runs.describe_environment(material.describe(), origin.to_dict() if origin else None)
    run = Run.create(folder, name, config, environment)
    with run.locked():
        return _train(run, config, material, progress, callbacks, origin=origin)


def resume(run: Run, config: Config, progress: Progress, *, verbose: bool = False, callbacks: Callbacks = ()) -> Result:
    """Go on with `run` from its last checkpoint until `config.training.epochs`, as if it had never stopped.

    Args:
        run: the run.
        config: its config; only the number of epochs may be another.
        progress: what is told on the way.
        verbose: let TensorFlow's own messages through.
        callbacks: Keras callbacks, called where an epoch begins and ends.

    Raises:
        UsageError: `config` is another one, or asks for fewer epochs than are trained.
        RunError: the run is locked, or no checkpoint in it is whole, or its data are not what they were.
    """
    _check_extras(config)
    with run.locked():
        _check_same(run, config)
        environment = run.environment()
        if (then := environment.get("versions")) != (now := runs.versions()):
            progress.warn(f"{run} was begun with {then}, this is {now}; weights may differ in the last bits")
        state, checkpoint = run.resumable(progress.warn)
        done = state.last.epoch if state else 0
        if config.training.epochs < done:
            raise UsageError(f"{run} has trained {done} epochs already; --epochs must be at least {done}")
        if done == config.training.epochs:
            progress.say(f"{run} has trained all of its {done} epochs; --epochs N goes on to N")
        recorded = environment["dataset"]
        material = _load(config, recorded["name"], None, None, verbose=verbose)
        if material.fingerprint != recorded["fingerprint"]:
            raise RunError(
                f"{run} was trained on other data than {material.dataset.path} holds now; resuming is refused"
            )
        if note := recorded["note"]:
            progress.warn(note)
            material = replace(material, dataset=replace(material.dataset, requested=recorded["requested"], note=note))
        run.write_config(config)
        began = environment.get("transfer")  # not there in runs of the first version
        origin = Origin.from_dict(began) if began else None
        return _train(run, config, material, progress, callbacks, origin=origin, state=state, checkpoint=checkpoint)


def _check_extras(config: Config) -> None:
    """Raise `UsageError` if something that `config` asks for is not installed."""
    if config.training.tensorboard and find_spec("tensorboard") is None:
        raise UsageError("training.tensorboard: TensorBoard is not installed: pip install 'dnn-cli[tensorboard]'")


def _source(config: Config) -> Source | None:
    return transfer.read(config.model.init_from) if config.model.init_from is not None else None


def _design(config: Config, material: Material, source: Source | None) -> tuple[list[Layer], Origin | None]:
    """The network's layers and what each starts from; raises `UsageError` where that cannot be."""
    layers = blueprint(config, material.image_shape, material.classes)
    return layers, transfer.plan(source, config, layers, material.dataset.name) if source else None


def _design_for_known(config: Config, source: Source | None) -> tuple[list[Layer], Origin | None]:
    """`_design` for one of `data.KNOWN`, of which enough is known before it is read."""
    data.check_classes(config.data.classes, range(data.KNOWN_CLASSES))
    layers = blueprint(config, data.KNOWN_SHAPE, data.KNOWN_CLASSES)
    return layers, transfer.plan(source, config, layers, config.data.dataset) if source else None


def _check_same(run: Run, config: Config) -> None:
    changes = configs.difference(run.config().with_epochs(config.training.epochs), config)
    if changes:
        lines = "\n  ".join(changes)
        raise UsageError(
            f"{run} cannot go on with another config; only training.epochs may change\n  {lines}\n"
            "a new run can train what differs"
        )


def _load(config: Config, name: str, fallback: str | None, dataset: Dataset | None, *, verbose: bool) -> Material:
    """Read the training images while TensorFlow is imported, which takes seconds; fail before that where one can."""
    found = dataset or (None if _is_present(name) else data.find(name, fallback))
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: read(config, found or data.find(name, fallback)))
        if config.engine == "keras":
            backend.start(verbose=verbose)
        return reading.result()


def _is_present(name: str) -> bool:
    try:
        data.find(name, split=None)
    except DataError:
        return False
    return True


def read(config: Config, dataset: Dataset) -> Material:
    """The training images that `config` asks for; raises `DataError` where there are not enough."""
    everything = dataset.load("train")
    chosen = config.data
    selected = data.select(everything, chosen.classes, chosen.images_per_class, config.seed)
    training, held_out = data.hold_out(selected, chosen.validation, config.seed)
    return Material(dataset, training, held_out, everything.classes, chosen.classes, everything.fingerprint())


def _train(
    run: Run,
    config: Config,
    material: Material,
    progress: Progress,
    callbacks: Callbacks,
    *,
    origin: Origin | None,
    state: State | None = None,
    checkpoint: Path | None = None,
) -> Result:
    done = state.last.epoch if state else 0
    history = run.history(done) if done else []
    engine = _engine(config, material, origin=origin, callbacks=callbacks, checkpoint=checkpoint, warn=progress.warn)

    progress.begin(done, config.training.epochs, engine.steps, engine.count)
    with (
        closing(progress),
        Checkpoints(run, engine.archive, state, _board(run, config, engine, done)) as checkpoints,
        Interrupts(progress.say, lambda: _last_words(run, checkpoints)) as interrupts,
    ):
        engine.tell("train_begin")
        interrupts.in_epoch = True
        for epoch in range(done, config.training.epochs):
            if _has_converged(history, config.training.early_stopping):
                progress.say(f"{run} stopped early after {epoch} epochs, as training.early_stopping says")
                break
            if engine.stopped:
                break
            started = time.perf_counter()
            engine.tell("epoch_begin", epoch)
            rate = engine.learning_rate
            logs = engine.run(epoch, _guarded(checkpoints, epoch, engine.steps, progress))
            logs |= {f"val_{name}": value for name, value in engine.judge().items()}
            _check_finite(logs, checkpoints, f"epoch {epoch + 1}")
            seconds = time.perf_counter() - started
            history.append({"epoch": epoch + 1, **logs, "learning_rate": rate, "seconds": seconds})
            engine.tell("epoch_end", epoch, logs)
            checkpoints.commit(history)
            progress.epoch(history[-1])
            interrupts.raise_if_received()
        interrupts.in_epoch = False
        engine.tell("train_end")
        state = checkpoints.wait()
    metrics = _summary(config, material, history, state, engine.parameters)
    run.write_metrics(metrics)
    return Result(run, metrics)


def _engine(
    config: Config,
    material: Material,
    *,
    origin: Origin | None,
    callbacks: Callbacks,
    checkpoint: Path | None,
    warn: Callable[[str], None],
) -> Engine:
    what = (config, material.training, material.held_out, material.classes)
    if config.engine == "numpy":
        if callbacks:
            raise ValueError("Keras's callbacks go with engine: keras")
        return NumpyEngine(*what, checkpoint=checkpoint)
    return KerasEngine(*what, origin=origin, checkpoint=checkpoint, callbacks=callbacks, warn=warn)


def _board(run: Run, config: Config, engine: Engine, done: int) -> "Board | None":
    if not config.training.tensorboard:
        return None
    from dnn_cli.board import Board

    return Board(*run.event_folders(), engine.archive.network, done)


def _guarded(
    checkpoints: Checkpoints, epoch: int, steps: int, progress: Progress
) -> Callable[[int, int, dict[str, float]], None]:
    """Tell how far the epoch is, and stop it where its figures are not numbers any more."""

    def on_chunk(first: int, stop: int, logs: dict[str, float]) -> None:
        _check_finite(logs, checkpoints, f"epoch {epoch + 1}, between steps {first + 1} and {stop} of {steps}")
        progress.step(stop, logs)

    return on_chunk


def _check_finite(logs: dict[str, float], checkpoints: Checkpoints, place: str) -> None:
    for name, value in logs.items():
        if not isfinite(value):
            raise TrainingError(
                f"{name} became {value} in {place}; {checkpoints.describe()}\n"
                "a lower optimizer.learning_rate usually helps"
            )


def _has_converged(history: list[Row], stopping: EarlyStopping | None) -> bool:
    """Whether the monitored figure has not improved for `patience` epochs, as Keras's EarlyStopping counts it."""
    if stopping is None:
        return False
    sign = -1 if stopping.monitor.endswith("accuracy") else 1
    best, waited = float("inf"), 0
    for row in history:
        value = sign * row[stopping.monitor]
        if value < best - stopping.min_delta:
            best, waited = value, 0
        else:
            waited += 1
    return waited >= stopping.patience


def _last_words(run: Run, checkpoints: Checkpoints) -> str:
    return f"interrupted; {checkpoints.describe()}\ngo on with: dnn train --resume {run}"


def _summary(
    config: Config, material: Material, history: list[Row], state: State | None, parameters: int
) -> dict[str, Any]:
    seconds = median(row["seconds"] for row in history)
    images = len(material.training.labels)
    return {
        "epochs": len(history),
        "stopped_early": len(history) < config.training.epochs,
        "final": history[-1],
        "best": asdict(state.last.best) if state else None,
        "parameters": parameters,
        "dataset": material.dataset.name,
        "note": material.dataset.note,
        "selected_classes": material.selected,
        "training_images": images,
        "seconds": sum(row["seconds"] for row in history),
        "seconds_per_epoch": seconds,
        "images_per_second": images / seconds,
    }
