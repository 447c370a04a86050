"""Train several configs one after the other, each in its own run, with the same result as alone, bit for bit."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dnn_cli.config import loading
from dnn_cli.config.loading import Override
from dnn_cli.config.schema import Config
from dnn_cli.data import datasets, known_sets
from dnn_cli.data.reading import Reading
from dnn_cli.engines import threads
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.errors import DataError, DnnError, TrainingError, UsageError, together
from dnn_cli.progress import Progress
from dnn_cli.training import loop, plan
from dnn_cli.training.loop import Result
from dnn_cli.training.plan import Draft, Preview
from dnn_cli.training.signals import SignalHandler

T = TypeVar("T")


@dataclass(frozen=True)
class SeriesEntry:
    """One training of a series.

    Attributes:
        config: its settings.
        name: name of the config, which is part of the run's.
        label: name in messages.
    """

    config: Config
    name: str
    label: str


def load(sources: Sequence[str], overrides: Sequence[Override], seeds: Sequence[int] = ()) -> list[SeriesEntry]:
    """Load all configs of `sources`, with `overrides` applied, once for each seed if there are any.

    Raises:
        UsageError: configs cannot be read or have problems; the message lists all of them.
    """
    entries, errors = list[SeriesEntry](), list[DnnError]()
    for source in sources:
        for seed in seeds or (None,):
            own = [] if seed is None else [Override("seed", seed, f"--seed {seed}")]
            label = source if seed is None else f"{source} with seed {seed}"
            try:
                entries.append(SeriesEntry(loading.load(source, [*overrides, *own]), Path(source).stem, label))
            except UsageError as error:
                errors.append(error)
    if errors:
        raise together(errors)
    return entries


def preview(entries: Sequence[SeriesEntry]) -> list[Preview]:
    """Return what each entry would train; raises a `DnnError` that lists the problems of all entries."""
    previews = _each(entries, lambda entry: plan.preview(entry.config))
    _check_threads(entries)
    return previews


def train(entries: Sequence[SeriesEntry], progress: Progress, done: Callable[[Result], None], *, verbose: bool) -> None:
    """Train one entry after the other; if the loss of one is not a finite number, continue with the next.

    Args:
        entries: the trainings.
        progress: reports the progress to the user.
        done: is called with the result of each training.
        verbose: show TensorFlow's own messages.

    Raises:
        DnnError: before the first training starts, it lists the problems of all entries; later, it names the training
            that failed and those that were not started.
        TrainingError: all trainings were started, but some were not finished.
    """
    drafts = _draft_all(entries)
    _check_threads(entries)
    failed = list[str]()
    place = 0
    with SignalHandler(progress.say, lambda: f"interrupted at {entries[place].label}"):
        for place, (entry, draft) in enumerate(zip(entries, drafts, strict=True)):
            try:
                tensorflow_import.clear_session()
                progress.note(f"training {place + 1} of {len(entries)}: {entry.label}")
                done(loop.start_draft(draft, entry.name, progress, verbose=verbose))
            except TrainingError as error:
                progress.say(f"error: {entry.label}: {error}")
                failed.append(entry.label)
            except DnnError as error:
                error.args = ("\n".join([str(error), *_unfinished(failed, entries[place + 1 :])]),)
                raise
    if failed:
        raise TrainingError("\n".join(_unfinished(failed, ())))


def _draft_all(entries: Sequence[SeriesEntry]) -> list[Draft]:
    """Check each entry; a dataset that several of them name is looked up and read once."""
    known: dict[tuple[str, str | None, Reading], datasets.Dataset | DataError] = {}

    def draft(entry: SeriesEntry) -> Draft:
        settings = entry.config.data
        is_known = settings.dataset in known_sets.KNOWN_DATASETS  # the seed holds out test images of users' own data
        key = settings.dataset, settings.fallback, Reading.of(settings, 0 if is_known else entry.config.seed)
        if key not in known:
            try:
                known[key] = datasets.find(settings.dataset, settings.fallback, reading=key[2])
            except DataError as error:
                known[key] = error
        if isinstance(found := known[key], DataError):
            raise DataError(*found.args)
        return plan.draft(entry.config, dataset=found)

    return _each(entries, draft)


def _check_threads(entries: Iterable[SeriesEntry]) -> None:
    """Raise `UsageError` if the entries need different numbers of threads, of which TensorFlow has one in a process."""
    asked: dict[int, list[str]] = {}
    for entry in entries:
        if entry.config.engine == "keras":
            number = threads.resolve(entry.config.training.threads, "keras", tensorflow_import.running())
            asked.setdefault(number, []).append(entry.label)
    if len(asked) > 1:
        lines = [f"{number} for {', '.join(labels)}" for number, labels in asked.items()]
        raise UsageError(
            f"all trainings of one command share training.threads, got {'; '.join(lines)}\n"
            "train them with separate commands, or set one number for all: --set training.threads=N"
        )


def _each(entries: Iterable[SeriesEntry], act: Callable[[SeriesEntry], T]) -> list[T]:
    """Apply `act` to each entry; raises a `DnnError` that lists all errors with the labels of their entries."""
    results, errors = list[T](), list[DnnError]()
    labels: dict[str, list[str]] = {}
    for entry in entries:
        try:
            results.append(act(entry))
        except DnnError as error:
            labels.setdefault(str(error), []).append(entry.label)
            errors.append(error)
    for failure in errors:
        failure.args = (f"{', '.join(labels[str(failure)])}: {failure}",)
    if errors:
        raise together(errors)
    return results


def _unfinished(failed: Sequence[str], remaining: Sequence[SeriesEntry]) -> list[str]:
    """Return a line that names the trainings that were not finished, and one for those that were not started."""
    labels = [entry.label for entry in remaining]
    groups = (("not finished", failed), ("not started", labels))
    return [f"{title}: {', '.join(group)}" for title, group in groups if group]
