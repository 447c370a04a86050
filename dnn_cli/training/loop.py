"""Train a network: plan → data → build → epochs → checkpoints → summary, in a new run or a resumed one."""

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
from dnn_cli.data import datasets
from dnn_cli.data.datasets import Dataset
from dnn_cli.data.known_sets import KNOWN_DATASETS
from dnn_cli.data.reading import Reading
from dnn_cli.data.selection import TrainingData, select_training_data
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.errors import RunError, TrainingError, UsageError
from dnn_cli.progress import Progress
from dnn_cli.runs import environment as runs_environment
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import DatasetRecord, Environment, Row, TrainingMetrics
from dnn_cli.runs.state import State
from dnn_cli.training import plan as planning
from dnn_cli.training.checkpointer import Checkpointer
from dnn_cli.training.early_stopping import should_stop
from dnn_cli.training.engine import ENGINES, Callbacks, Engine
from dnn_cli.training.plan import Draft, TrainingPlan
from dnn_cli.training.signals import SignalHandler
from dnn_cli.training.transfer import TransferPlan
from dnn_cli.typing import ChunkCallback, Logs

if TYPE_CHECKING:
    from dnn_cli.training.tensorboard import EventWriter

HowToResume = Callable[[RunDirectory], str]  # returns what the user types to resume the run


def resume_command(run: RunDirectory) -> str:
    """Return the command line that resumes a run."""
    return command("train", "--resume", run)


@dataclass(frozen=True)
class Result:
    """The result of a training.

    Attributes:
        run: the directory of the run.
        metrics: the summary in `metrics.json`.
    """

    run: RunDirectory
    metrics: TrainingMetrics


def start(
    config: Config,
    name: str,
    progress: Progress,
    *,
    folder: Path | None = None,
    verbose: bool = False,
    callbacks: Callbacks = (),
    how_to_resume: HowToResume = resume_command,
) -> Result:
    """Train a new network in a new run.

    Args:
        config: the settings.
        name: name of the config; the run is ``runs/<name>-<n>`` unless `folder` is given.
        progress: reports the progress to the user.
        folder: directory of the run.
        verbose: show TensorFlow's own messages.
        callbacks: Keras callbacks that are notified when training and epochs begin and end.
        how_to_resume: returns what the message of an interrupted training tells the user to type.

    Raises:
        DnnError: the training cannot start, or the run cannot be written.
        TrainingError: the loss is no longer a finite number.
    """
    draft = planning.draft(config, folder=folder)
    return start_draft(
        draft, name, progress, folder=folder, verbose=verbose, callbacks=callbacks, how_to_resume=how_to_resume
    )


def start_draft(
    draft: Draft,
    name: str,
    progress: Progress,
    *,
    folder: Path | None = None,
    verbose: bool = False,
    callbacks: Callbacks = (),
    how_to_resume: HowToResume = resume_command,
) -> Result:
    """Train a new network from a checked draft; see `start`."""
    config = draft.config
    plan = draft.complete(_load(config, config.data.dataset, config.data.fallback, draft.dataset, verbose=verbose))
    if plan.data.dataset.note:
        progress.warn(plan.data.dataset.note)
    for warning in plan.data.dataset.source.warnings:
        progress.warn(warning)
    for remark in plan.data.dataset.source.remarks:
        progress.note(remark)
    if plan.transfer is not None:
        progress.note(plan.transfer.describe())
    record, threads = planning.dataset_record(plan.data), config.training.threads
    environment = runs_environment.describe_environment(
        record, plan.transfer, threads=threads if threads != "auto" else None
    )
    run = RunDirectory.create(folder, name, config, environment)
    with run.locked():
        return _train(run, plan, progress, callbacks, how_to_resume)


def resume(
    run: RunDirectory,
    config: Config,
    progress: Progress,
    *,
    verbose: bool = False,
    callbacks: Callbacks = (),
    how_to_resume: HowToResume = resume_command,
) -> Result:
    """Resume `run` from its last checkpoint until `config.training.epochs`, exactly as if it had not stopped.

    Args:
        run: the run.
        config: its config; only the number of epochs may differ.
        progress: reports the progress to the user.
        verbose: show TensorFlow's own messages.
        callbacks: Keras callbacks that are notified when training and epochs begin and end.
        how_to_resume: returns what the message of an interrupted training tells the user to type.

    Raises:
        UsageError: `config` differs from the run's, or asks for fewer epochs than are trained.
        RunError: the run is locked, has no undamaged checkpoint, or its data have changed.
    """
    with run.locked():
        draft = planning.draft(config, run=run)
        config, environment = draft.config, run.environment()
        state, checkpoint = run.resumable(progress.warn)
        done = state.last.epoch if state else 0
        for warning in _environment_changes(run, environment, config, done):
            progress.warn(warning)
        if config.training.epochs < done:
            raise UsageError(f"{run} has trained {done} epochs already; --epochs must be at least {done}")
        if done == config.training.epochs:
            progress.say(f"{run} has trained all of its {done} epochs; to train more, pass a larger --epochs")
        data = _load_recorded(run, config, environment.dataset, progress, verbose=verbose)
        transfer = TransferPlan(**vars(environment.transfer)) if environment.transfer else None
        plan = replace(draft.complete(data), transfer=transfer)
        run.write_config(config)
        return _train(run, plan, progress, callbacks, how_to_resume, state=state, checkpoint=checkpoint)


def _environment_changes(run: RunDirectory, environment: Environment, config: Config, done: int) -> Iterator[str]:
    """Yield a sentence for each change since the run was started that may change the last bits of its weights."""
    versions, kind = environment.versions, environment.processor
    if versions != (now := runs_environment.versions()):
        yield f"{run} was started with {versions}, this is {now}; weights may differ in the last bits"
    # Version 0.1.0 recorded neither the processor nor the number of threads.
    if kind not in (None, here := processor.kind()):
        yield f"{run} was started on {kind}, this is {here}; weights may differ in the last bits"
    if done and config.engine == "keras" and run.config().training.threads == "auto":
        yield (
            f"{run} does not record its number of threads and resumes with {config.training.threads}; "
            "with another number, the weights differ in the last bits; --set training.threads=N sets it"
        )


def _load(config: Config, name: str, fallback: str | None, dataset: Dataset | None, *, verbose: bool) -> TrainingData:
    """Read the training images while TensorFlow is imported, which takes seconds; fail before that if possible."""

    def find() -> Dataset:
        return datasets.find(name, fallback, reading=Reading.of(config.data, config.seed))

    # What may be wrong with a user's own data is reported at once.
    is_safe = name in KNOWN_DATASETS and planning.is_present(name)
    found = dataset or (None if is_safe else find())
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: select_training_data(found or find(), config.data, config.seed))
        if config.engine == "keras":
            tensorflow_import.import_tensorflow(config.training.threads, verbose=verbose)
        return reading.result()


def _load_recorded(
    run: RunDirectory, config: Config, recorded: DatasetRecord, progress: Progress, *, verbose: bool
) -> TrainingData:
    """Read the images that a run was trained on; raises `RunError` if they have changed."""
    data = _load(config, recorded.name, None, None, verbose=verbose)
    if data.fingerprint != recorded.fingerprint:
        raise RunError(
            f"{run} cannot be resumed: {data.dataset.path} has changed since the run was started; "
            "restore it, or start a new run"
        )
    if note := recorded.note:
        progress.warn(note)
        return replace(data, dataset=replace(data.dataset, requested=recorded.requested, note=note))
    return data


def _train(
    run: RunDirectory,
    plan: TrainingPlan,
    progress: Progress,
    callbacks: Callbacks,
    how_to_resume: HowToResume,
    *,
    state: State | None = None,
    checkpoint: Path | None = None,
) -> Result:
    """Train the missing epochs, save each of them, and write the summary."""
    done, epochs = state.last.epoch if state else 0, plan.config.training.epochs
    history = run.history(done) if done else []
    create_engine = ENGINES[plan.config.engine]
    engine = create_engine(plan, checkpoint=checkpoint, callbacks=callbacks, warn=progress.warn)
    events = _event_writer(run, plan.config, engine, done)

    progress.begin(done, epochs, engine.steps, engine.count)
    with (
        closing(progress),
        Checkpointer(run, engine.checkpoint_writer, state, events, plan.config.training.monitor) as checkpointer,
        SignalHandler(progress.say, lambda: interrupt_message(run, checkpointer, how_to_resume)) as signals,
    ):
        engine.notify("train_begin")
        signals.in_epoch = True
        for epoch in range(done, epochs):
            if should_stop(history, plan.config.training.early_stopping):
                progress.say(f"{run} stopped early after {epoch} epochs (training.early_stopping)")
                break
            if engine.stop_requested:
                break
            history.append(_train_epoch(engine, epoch, progress, checkpointer))
            checkpointer.commit(history)
            progress.epoch(history[-1])
            signals.raise_if_received()
        signals.in_epoch = False
        engine.notify("train_end")
        state = checkpointer.wait()
    metrics = _summary(plan, history, state)
    run.write_metrics(metrics)
    return Result(run, metrics)


def _train_epoch(engine: Engine, epoch: int, progress: Progress, checkpointer: Checkpointer) -> Row:
    """Train and validate one epoch, numbered from 0, and return its row of the history."""
    started = time.perf_counter()
    engine.notify("epoch_begin", epoch)
    learning_rate = engine.learning_rate
    logs = engine.run(epoch, _chunk_callback(epoch, engine.steps, progress, checkpointer))
    logs |= {f"val_{name}": value for name, value in engine.validate().items()}
    _check_finite(logs, f"epoch {epoch + 1}", checkpointer)
    seconds = time.perf_counter() - started
    row = {"epoch": epoch + 1, **logs, "learning_rate": learning_rate, "seconds": seconds}
    engine.notify("epoch_end", epoch, logs)
    return row


def _chunk_callback(epoch: int, steps: int, progress: Progress, checkpointer: Checkpointer) -> ChunkCallback:
    """Return a callback that reports progress within an epoch, and ends it if a metric is not a finite number."""

    def on_chunk(first: int, stop: int, logs: Logs) -> None:
        _check_finite(logs, f"epoch {epoch + 1}, between steps {first + 1} and {stop} of {steps}", checkpointer)
        progress.step(stop, logs)

    return on_chunk


def _check_finite(logs: Logs, place: str, checkpointer: Checkpointer) -> None:
    for name, value in logs.items():
        if not isfinite(value):
            raise TrainingError(
                f"{name} became {value} in {place}; {checkpointer.describe_last()}\n"
                "a lower optimizer.learning_rate usually helps"
            )


def interrupt_message(run: RunDirectory, checkpointer: Checkpointer, how_to_resume: HowToResume) -> str:
    """Return the message of an interrupted training: what is saved, and how to resume it."""
    return f"interrupted; {checkpointer.describe_last()}\nresume with: {how_to_resume(run)}"


def _event_writer(run: RunDirectory, config: Config, engine: Engine, done: int) -> "EventWriter | None":
    if not config.training.tensorboard:
        return None
    from dnn_cli.training.tensorboard import EventWriter

    return EventWriter(*run.event_folders(), engine.checkpoint_writer.description, done)


def _summary(plan: TrainingPlan, history: list[Row], state: State | None) -> TrainingMetrics:
    """Return the content of `metrics.json`."""
    seconds = median(row["seconds"] for row in history)
    images = len(plan.data.training.labels)
    return TrainingMetrics(
        epochs=len(history),
        stopped_early=len(history) < plan.config.training.epochs,
        final=history[-1],
        best=state.last.best if state else None,
        parameters=plan.spec.parameters,
        dataset=plan.data.dataset.name,
        note=plan.data.dataset.note,
        selected_classes=plan.data.selected,
        training_images=images,
        seconds=sum(row["seconds"] for row in history),
        seconds_per_epoch=seconds,
        images_per_second=images / seconds,
    )
