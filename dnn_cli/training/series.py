"""Several trainings in turn, each into a run of its own and to the last bit what it is alone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dnn_cli.config import loading
from dnn_cli.config.loading import Override
from dnn_cli.config.schema import Config
from dnn_cli.data import datasets as data_datasets
from dnn_cli.data.datasets import Dataset
from dnn_cli.engines import threads
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.errors import DataError, DnnError, TrainingError, UsageError, together
from dnn_cli.progress import Progress
from dnn_cli.training import loop, plan
from dnn_cli.training.loop import Result
from dnn_cli.training.plan import Preview
from dnn_cli.training.signals import Interrupts

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One training of a series: its config, what its run is called after, and how messages name it."""

    config: Config
    name: str
    label: str


def load(sources: Sequence[str], overrides: Sequence[Override], seeds: Sequence[int] = ()) -> list[Entry]:
    """Every config of `sources` with `overrides` applied; with `seeds`, once for each of them.

    Raises:
        UsageError: some cannot be read or have problems; all of these are named.
    """
    entries, errors = list[Entry](), list[DnnError]()
    for source in sources:
        for seed in seeds or (None,):
            own = [] if seed is None else [Override("seed", seed, f"--seed {seed}")]
            label = source if seed is None else f"{source} with seed {seed}"
            try:
                entries.append(Entry(loading.load(source, [*overrides, *own]), Path(source).stem, label))
            except UsageError as error:
                errors.append(error)
    if errors:
        raise together(errors)
    return entries


def preview(entries: Sequence[Entry]) -> list[Preview]:
    """What each would train; raises a `DnnError` that says all that is wrong with any."""
    previews = _each(entries, lambda entry: plan.preview(entry.config))
    _check_threads(entries)
    return previews


def train(entries: Sequence[Entry], progress: Progress, done: Callable[[Result], None], *, verbose: bool) -> None:
    """Train one after the other; where the loss of one stops being a number, go on with the next.

    Args:
        entries: what to train.
        progress: what is told on the way.
        done: takes what each training came to.
        verbose: let TensorFlow's own messages through.

    Raises:
        DnnError: all that is wrong with any of them, before the first begins; or what ended one of them, and with it
            the others: it says which were not begun.
        TrainingError: every one was begun, but some were not trained to the end.
    """
    datasets = _find(entries)
    _check_threads(entries)
    failed = list[str]()
    place = 0
    with Interrupts(progress.say, lambda: f"interrupted at {entries[place].label}"):
        for place, (entry, dataset) in enumerate(zip(entries, datasets, strict=True)):
            try:
                tensorflow_import.clear_session()
                progress.note(f"training {place + 1} of {len(entries)}: {entry.label}")
                done(loop.start(entry.config, entry.name, progress, dataset=dataset, verbose=verbose))
            except TrainingError as error:
                progress.say(f"error: {entry.label}: {error}")
                failed.append(entry.label)
            except DnnError as error:
                error.args = ("\n".join([str(error), *_account(failed, entries[place + 1 :])]),)
                raise
    if failed:
        raise TrainingError("\n".join(_account(failed, ())))


def _find(entries: Sequence[Entry]) -> list[Dataset]:
    """The data of each, those that are the same looked for and read once, and checked to be fit for it."""
    known: dict[tuple[str, str | None], Dataset | DataError] = {}

    def find(entry: Entry) -> Dataset:
        key = entry.config.data.dataset, entry.config.data.fallback
        if key not in known:
            try:
                known[key] = data_datasets.find(*key)
            except DataError as error:
                known[key] = error
        if isinstance(found := known[key], DataError):
            raise DataError(*found.args)
        plan.check(entry.config, found)
        return found

    return _each(entries, find)


def _check_threads(entries: Iterable[Entry]) -> None:
    """Raise `UsageError` if they need different numbers of threads: TensorFlow has one in a process."""
    asked: dict[int, list[str]] = {}
    for entry in entries:
        if entry.config.engine == "keras":
            number = threads.resolve(entry.config.training.threads, "keras", tensorflow_import.running())
            asked.setdefault(number, []).append(entry.label)
    if len(asked) > 1:
        lines = [f"{number} for {', '.join(labels)}" for number, labels in asked.items()]
        raise UsageError(
            f"trainings of one command share training.threads, got {'; '.join(lines)}\n"
            "train those that differ by commands of their own, or set one number for all: --set training.threads=N"
        )


def _each(entries: Iterable[Entry], act: Callable[[Entry], T]) -> list[T]:
    """What `act` makes of each; raises a `DnnError` that names all that it refused, and which of them."""
    results, errors = list[T](), list[DnnError]()
    labels: dict[str, list[str]] = {}
    for entry in entries:
        try:
            results.append(act(entry))
        except DnnError as error:
            labels.setdefault(str(error), []).append(entry.label)
            errors.append(error)
    for refusal in errors:
        refusal.args = (f"{', '.join(labels[str(refusal)])}: {refusal}",)
    if errors:
        raise together(errors)
    return results


def _account(failed: Sequence[str], remaining: Sequence[Entry]) -> list[str]:
    """A line for those that were not trained to the end, and one for those that were not begun."""
    labels = [entry.label for entry in remaining]
    groups = (("not trained to the end", failed), ("not begun", labels))
    return [f"{what}: {', '.join(which)}" for what, which in groups if which]
