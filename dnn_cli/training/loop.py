"""Train a network: plan → data → build → epochs → checkpoints → calibration → summary; a new run or a resumed one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from dnn_cli import processor
from dnn_cli.command import command
from dnn_cli.config.schedules import Schedule
from dnn_cli.config.schema import Config
from dnn_cli.data import datasets
from dnn_cli.data.datasets import Dataset
from dnn_cli.data.known_sets import KNOWN_DATASETS
from dnn_cli.data.reading import Reading
from dnn_cli.data.selection import TrainingData, select_training_data
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.errors import RunError, UsageError
from dnn_cli.progress import Progress
from dnn_cli.runs import environment as runs_environment
from dnn_cli.runs.directory import Resumable, RunDirectory
from dnn_cli.runs.partial import Partial
from dnn_cli.runs.records import DatasetRecord, Environment, Row, TrainingMetrics
from dnn_cli.runs.state import State
from dnn_cli.training import plan as planning
from dnn_cli.training.calibrate import calibrate
from dnn_cli.training.checkpointer import Checkpointer
from dnn_cli.training.early_stopping import should_stop
from dnn_cli.training.engine import ENGINES, Callbacks, Engine
from dnn_cli.training.epoch import Epoch
from dnn_cli.training.plan import Draft, TrainingPlan
from dnn_cli.training.signals import SignalHandler
from dnn_cli.training.transfer import TransferPlan

if TYPE_CHECKING:
    from dnn_cli.training.tensorboard import EventWriter

HowToResume = Callable[[RunDirectory], str]  # returns what the user types to resume the run
NOTHING_SAVED = Resumable()


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
    data = _load(config, config.data.dataset, config.data.fallback, draft.dataset, progress, verbose=verbose)
    plan = draft.complete(data)
    for warning in filter(None, (data.dataset.note, planning.unused_labels(data), *data.dataset.source.warnings)):
        progress.warn(warning)
    for remark in data.dataset.source.remarks:
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
        config: its config; only the number of epochs may differ, and `jit_compile`, which asks for steps that are
            compiled or not, although the weights then differ in the last bits.
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
        saved = run.resumable(progress.warn)
        done = saved.epoch
        for warning in _environment_changes(run, environment, config, done):
            progress.warn(warning)
        asked = config.training.jit_compile != run.config().training.jit_compile
        if not asked and environment.compiled is not None:
            config = config.with_jit_compile(environment.compiled)
        if config.training.epochs < done:
            raise UsageError(f"{run} has trained {done} epochs already; --epochs must be at least {done}")
        if done == config.training.epochs:
            progress.say(f"{run} has trained all of its {done} epochs; to train more, pass a larger --epochs")
        if saved.partial:
            progress.note(f"resuming within epoch {saved.partial.epoch}, after {saved.partial.step:,} of its steps")
        data = _load_recorded(run, config, environment.dataset, progress, verbose=verbose)
        transfer = TransferPlan(**vars(environment.transfer)) if environment.transfer else None
        plan = replace(draft.complete(data), config=config, transfer=transfer)
        run.write_config(config)
        return _train(run, plan, progress, callbacks, how_to_resume, saved=saved, change_path=asked)


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


def _load(
    config: Config, name: str, fallback: str | None, dataset: Dataset | None, progress: Progress, *, verbose: bool
) -> TrainingData:
    """Read the training images while TensorFlow is imported, which takes seconds; fail before that if possible."""

    def find() -> Dataset:
        return datasets.find(name, fallback, reading=Reading.of(config.data, config.seed))

    # What may be wrong with a user's own data is reported at once.
    is_safe = name in KNOWN_DATASETS and planning.is_present(name)
    found = dataset or (None if is_safe else find())
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: select_training_data(found or find(), config.data, config.seed))
        if config.engine == "keras":
            with progress.waiting("loading TensorFlow"):
                tensorflow_import.import_tensorflow(config.training.threads, verbose=verbose)
        return reading.result()


def _load_recorded(
    run: RunDirectory, config: Config, recorded: DatasetRecord, progress: Progress, *, verbose: bool
) -> TrainingData:
    """Read the images that a run was trained on; raises `RunError` if they have changed."""
    data = _load(config, recorded.name, None, None, progress, verbose=verbose)
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
    saved: Resumable = NOTHING_SAVED,
    change_path: bool = False,
) -> Result:
    """Train the missing epochs, save each of them, calibrate the best, and write the summary."""
    done, settings = saved.epoch, plan.config.training
    history = run.history(done) if done else []
    create_engine = ENGINES[plan.config.engine]
    engine = create_engine(plan, checkpoint=saved.checkpoint, callbacks=callbacks, warn=progress.warn)
    partial = _check_partial(run, saved.partial, engine)
    if done < settings.epochs:
        _check_path(run, engine, progress, resumed=saved.checkpoint is not None, change_path=change_path)
        _check_schedule(plan.config, engine, progress, resumed=saved.checkpoint is not None)
    events = _event_writer(run, plan.config, engine, done)

    progress.begin(done, settings.epochs, engine.steps, engine.count)
    with (
        closing(progress),
        Checkpointer(
            run,
            engine.checkpoint_writer,
            saved,
            steps=engine.steps,
            seconds=settings.checkpoint_seconds,
            events=events,
            monitor=settings.monitor,
        ) as checkpointer,
        SignalHandler(progress.say, lambda: interrupt_message(run, checkpointer, how_to_resume)) as signals,
    ):
        engine.notify("train_begin")
        signals.in_epoch = True
        for epoch in range(done, settings.epochs):
            if should_stop(history, settings.early_stopping):
                progress.say(f"{run} stopped early after {epoch} epochs (training.early_stopping)")
                break
            if engine.stop_requested:
                break
            under_way = Epoch(engine, epoch, progress, checkpointer, signals)
            history.append(under_way.train(partial if epoch == done else None))
            checkpointer.commit(history)
            progress.epoch(history[-1])
            signals.raise_if_received()
        signals.in_epoch = False
        engine.notify("train_end")
        state = checkpointer.wait()
    if state and plan.data.held_out:
        calibrate(run, state, plan.data.held_out)
    metrics = _summary(plan, history, state)
    run.write_metrics(metrics)
    return Result(run, metrics)


def _check_partial(run: RunDirectory, partial: Partial | None, engine: Engine) -> Partial | None:
    """Return `partial`; raises `RunError` if it cannot be a place in an epoch of this engine."""
    if partial and (partial.step >= engine.steps or len(partial.metric_sums) != len(engine.metric_sums())):
        raise RunError(
            f"{run.path / 'partial.json'} is damaged: it names no place in an epoch of {engine.steps:,} steps; "
            f"delete it to resume from the beginning of epoch {partial.epoch}"
        )
    return partial


def _check_path(run: RunDirectory, engine: Engine, progress: Progress, *, resumed: bool, change_path: bool) -> None:
    """Compile the steps, and record whether XLA did: compiled and uncompiled steps round differently.

    Raises:
        RunError: the run was trained on the other path, and `change_path` is false.
    """
    compiled, before = engine.prepare(), run.environment().compiled
    if compiled is None:
        return
    if resumed and before not in (None, compiled):
        names = {True: "with compiled steps", False: "uncompiled"}
        change = f"{run} was trained {names[before]} and would resume {names[compiled]}"
        if not change_path:
            raise RunError(
                f"{change}, so that its weights would differ in the last bits; "
                f"--set training.jit_compile={str(compiled).lower()} resumes it nevertheless"
            )
        progress.warn(f"{change.replace('would resume', 'resumes')}; its weights differ in the last bits")
    run.record_compiled(compiled)


def _check_schedule(config: Config, engine: Engine, progress: Progress, *, resumed: bool) -> None:
    """Warn if the learning rate's schedule does not end with the training."""
    rate = config.optimizer.learning_rate
    mismatch = rate.mismatch(engine.steps, config.training.epochs) if isinstance(rate, Schedule) else ""
    if mismatch and resumed:
        progress.warn(f"{mismatch}; a resumed run keeps its schedule")
    elif mismatch:
        progress.warn(mismatch)


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
