"""The story of a training: data → model → epochs, each one saved → summary; begun, or gone on with."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from dnn_cli import processor
from dnn_cli.command import command
from dnn_cli.config.schema import Config
from dnn_cli.data import datasets, known_sets
from dnn_cli.data.datasets import Dataset
from dnn_cli.data.selection import TrainingData
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.errors import RunError, TrainingError, UsageError
from dnn_cli.progress import Progress
from dnn_cli.runs import directory
from dnn_cli.runs import environment as runs_environment
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import Environment, Row, TrainingMetrics
from dnn_cli.runs.state import State
from dnn_cli.training.checkpointer import Checkpoints
from dnn_cli.training.early_stopping import has_converged
from dnn_cli.training.engine import Callbacks, Engine, KerasEngine, NumpyEngine
from dnn_cli.training.plan import (
    check_extras,
    dataset_record,
    design,
    design_for_known,
    is_present,
    read_training_data,
    resolve_threads,
    transfer_source,
)
from dnn_cli.training.signals import Interrupts
from dnn_cli.training.transfer import TransferPlan

if TYPE_CHECKING:
    from dnn_cli.training.tensorboard import Board


@dataclass(frozen=True)
class Result:
    """What a training came to: its run, and the summary that `metrics.json` holds."""

    run: RunDirectory
    metrics: TrainingMetrics


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
    check_extras(config)
    if folder is not None:
        directory.check_free(folder)
    config = resolve_threads(config)
    source = transfer_source(config)
    if config.data.dataset in known_sets.KNOWN_DATASETS:
        design_for_known(config, source)  # refuses early what cannot be trained
    material = _load(config, config.data.dataset, config.data.fallback, dataset, verbose=verbose)
    _, origin = design(config, material, source)
    if material.dataset.note:
        progress.warn(material.dataset.note)
    if origin is not None:
        progress.note(origin.describe())
    threads_used = config.training.threads
    environment = runs_environment.describe_environment(
        dataset_record(material), origin, threads=None if threads_used == "auto" else threads_used
    )
    run = RunDirectory.create(folder, name, config, environment)
    with run.locked():
        return _train(run, config, material, progress, callbacks, origin=origin)


def resume(
    run: RunDirectory, config: Config, progress: Progress, *, verbose: bool = False, callbacks: Callbacks = ()
) -> Result:
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
    check_extras(config)
    with run.locked():
        config = resolve_threads(config, run)
        environment = run.environment()
        state, checkpoint = run.resumable(progress.warn)
        done = state.last.epoch if state else 0
        for warning in _changes(run, environment, config, done):
            progress.warn(warning)
        if config.training.epochs < done:
            raise UsageError(f"{run} has trained {done} epochs already; --epochs must be at least {done}")
        if done == config.training.epochs:
            progress.say(f"{run} has trained all of its {done} epochs; --epochs N goes on to N")
        recorded = environment.dataset
        material = _load(config, recorded.name, None, None, verbose=verbose)
        if material.fingerprint != recorded.fingerprint:
            raise RunError(
                f"{run} was trained on other data than {material.dataset.path} holds now; resuming is refused"
            )
        if note := recorded.note:
            progress.warn(note)
            material = replace(material, dataset=replace(material.dataset, requested=recorded.requested, note=note))
        run.write_config(config)
        origin = TransferPlan(**vars(environment.transfer)) if environment.transfer else None
        return _train(run, config, material, progress, callbacks, origin=origin, state=state, checkpoint=checkpoint)


def _changes(run: RunDirectory, environment: Environment, config: Config, done: int) -> Iterator[str]:
    """Return what may change the last bits of a run after `done` epochs, a sentence each."""
    versions, kind = environment.versions, environment.processor
    if versions != (now := runs_environment.versions()):
        yield f"{run} was begun with {versions}, this is {now}; weights may differ in the last bits"
    if kind not in (None, here := processor.kind()):  # runs of older versions do not record it
        yield f"{run} was begun on {kind}, this is {here}; weights may differ in the last bits"
    if done and config.engine == "keras" and run.config().training.threads == "auto":  # nor do they record this
        yield (
            f"{run} does not record how many threads trained it; it resumes with {config.training.threads}, "
            "and with another number weights differ in the last bits; --set training.threads=N sets it"
        )


def _load(config: Config, name: str, fallback: str | None, dataset: Dataset | None, *, verbose: bool) -> TrainingData:
    """Read the training images while TensorFlow is imported, which takes seconds; fail before that where one can."""
    found = dataset or (None if is_present(name) else datasets.find(name, fallback))
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: read_training_data(config, found or datasets.find(name, fallback)))
        if config.engine == "keras":
            tensorflow_import.import_tensorflow(config.training.threads, verbose=verbose)
        return reading.result()


def _train(
    run: RunDirectory,
    config: Config,
    material: TrainingData,
    progress: Progress,
    callbacks: Callbacks,
    *,
    origin: TransferPlan | None,
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
        Interrupts(progress.say, lambda: interrupt_message(run, checkpoints)) as interrupts,
    ):
        engine.tell("train_begin")
        interrupts.in_epoch = True
        for epoch in range(done, config.training.epochs):
            if has_converged(history, config.training.early_stopping):
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
    material: TrainingData,
    *,
    origin: TransferPlan | None,
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


def _board(run: RunDirectory, config: Config, engine: Engine, done: int) -> "Board | None":
    if not config.training.tensorboard:
        return None
    from dnn_cli.training.tensorboard import Board

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


def interrupt_message(run: RunDirectory, checkpoints: Checkpoints) -> str:
    """Return the message of an interrupted training: what is safe, and the command that resumes it."""
    return f"interrupted; {checkpoints.describe()}\ngo on with: {command('train', '--resume', run)}"


def _summary(
    config: Config, material: TrainingData, history: list[Row], state: State | None, parameters: int
) -> TrainingMetrics:
    seconds = median(row["seconds"] for row in history)
    images = len(material.training.labels)
    return TrainingMetrics(
        epochs=len(history),
        stopped_early=len(history) < config.training.epochs,
        final=history[-1],
        best=state.last.best if state else None,
        parameters=parameters,
        dataset=material.dataset.name,
        note=material.dataset.note,
        selected_classes=material.selected,
        training_images=images,
        seconds=sum(row["seconds"] for row in history),
        seconds_per_epoch=seconds,
        images_per_second=images / seconds,
    )
