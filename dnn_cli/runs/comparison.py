"""Compare runs: the settings that differ, the figures, and which run is best.

Figures are only compared if they were measured on the same images. Two runs held out the same images if the data, the
number of images and the seed that selected them are the same. Two evaluations used the same images if the fingerprints
are the same.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from dnn_cli.config import difference
from dnn_cli.config.messages import did_you_mean
from dnn_cli.errors import DnnError, RunError, UsageError, together
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import Interval
from dnn_cli.runs.status import RunStatus, read_status
from dnn_cli.stats import wilson


class Criterion:
    """A figure that runs can be ranked by.

    Attributes:
        title: the name of the figure.
        missing: the reason why runs don't have the figure, as a phrase to put before their paths.
        descending: whether higher is better.
    """

    title: str
    missing = ""
    descending = False

    def figure(self, status: RunStatus) -> float | None:
        """Return the figure of a run; None if it has none."""
        raise NotImplementedError

    def basis(self, status: RunStatus) -> Hashable:
        """Return a value that must be equal for two figures to be comparable."""
        return None

    def origin(self, status: RunStatus) -> tuple[str, str]:
        """Return how the figure was measured, and on what: ``("evaluated", "on mnist")``."""
        return "", ""

    def interval(self, status: RunStatus) -> Interval | None:
        """Return the 95 % interval of the figure, if it has one."""
        return None

    def key(self, status: RunStatus) -> tuple[float, float]:
        """Return a sort key: the best run first, of equals the smallest network; runs without the figure last."""
        figure, size = self.figure(status), status.parameters
        rank = inf if figure is None else -figure if self.descending else figure
        return rank, inf if size is None else size

    def gap(self, statuses: Sequence[RunStatus]) -> str:
        """Return a phrase that names the runs without this figure; empty if all have it."""
        lacking = [str(status.run) for status in statuses if self.figure(status) is None]
        return f"{self.missing} {', '.join(lacking)}" if lacking else ""

    def conflict(self, statuses: Sequence[RunStatus]) -> str:
        """Return the reason why the figures are not comparable, as a phrase; empty if they are."""
        having = [status for status in statuses if self.figure(status) is not None]
        for other in having[1:]:
            if self.basis(other) != self.basis(having[0]):
                (verb, one), (_, two) = self.origin(having[0]), self.origin(other)
                return f"{having[0].run} was {verb} {one}, {other.run} {OTHER_IMAGES if one == two else two}"
        return ""


class ValAccuracy(Criterion):
    """The validation accuracy of the best epoch."""

    title = "val accuracy"
    missing = "no images were held out by"
    descending = True

    def figure(self, status: RunStatus) -> float | None:
        return status.best.get("val_accuracy") if status.best else None

    def basis(self, status: RunStatus) -> Hashable:
        """Return everything that determines the held-out images: the data, their number, and how they are selected."""
        settings = status.config.to_dict()["data"].items()
        others = [item for item in settings if item[0] not in ("dataset", "fallback", "validation")]
        return status.data.fingerprint, status.held_out, status.config.seed, str(others)

    def origin(self, status: RunStatus) -> tuple[str, str]:
        images = f"{status.held_out:,} images of {status.data.name}"
        return "validated", f"on {images} held out by seed {status.config.seed}"

    def interval(self, status: RunStatus) -> Interval | None:
        accuracy, count = self.figure(status), status.held_out
        return None if accuracy is None else wilson(round(accuracy * count), count)


class TestAccuracy(Criterion):
    """The accuracy of the last evaluation on the test images."""

    title = "test accuracy"
    missing = "`dnn evaluate` was not run on"
    descending = True

    def figure(self, status: RunStatus) -> float | None:
        return status.test.accuracy if status.test else None

    def basis(self, status: RunStatus) -> Hashable:
        return status.test and status.test.fingerprint

    def origin(self, status: RunStatus) -> tuple[str, str]:
        return "evaluated", f"on {status.test.dataset}" if status.test else ""

    def interval(self, status: RunStatus) -> Interval | None:
        return status.test.accuracy_interval if status.test else None


class Seconds(Criterion):
    """The time of all epochs, which depends on the machine."""

    title = "seconds"
    missing = "no epoch was trained by"

    def figure(self, status: RunStatus) -> float | None:
        return status.seconds if status.best else None

    def basis(self, status: RunStatus) -> Hashable:
        return status.environment and (status.environment.platform, status.environment.cpus)

    def origin(self, status: RunStatus) -> tuple[str, str]:
        machine = status.environment
        return "trained", f"on {machine.platform} with {machine.cpus} processors" if machine else ""


class Parameters(Criterion):
    """The number of parameters in the network."""

    title = "parameters"
    missing = "the number of parameters is not recorded by"

    def figure(self, status: RunStatus) -> float | None:
        return status.parameters


OTHER_IMAGES = "on other images of that name"
ACCURACIES = ("val_accuracy", "test_accuracy")  # the order in which they are tried for a ranking
CRITERIA = {
    "val_accuracy": ValAccuracy(),
    "test_accuracy": TestAccuracy(),
    "seconds": Seconds(),
    "parameters": Parameters(),
}


@dataclass(frozen=True, repr=False)
class Comparison:
    """Several runs, with their differing settings and a ranking where there is one.

    Attributes:
        candidates: the runs, the best first if `ranked_by` is not None, otherwise in the order of the arguments.
        settings: for each setting that differs, its value in each run, in the order of `candidates`.
        ranked_by: a key of `CRITERIA`, or None.
        remarks: sentences about the figures: how the runs are ranked, and which figures cannot be compared.
        doubts: those of the remarks that warn that the first place may be due to chance.
        damaged: an error for each run that could not be read.
    """

    candidates: list[RunStatus]
    settings: dict[str, list[Any]]
    ranked_by: str | None
    remarks: list[str]
    doubts: list[str]
    damaged: list[RunError]

    def __repr__(self) -> str:
        names = ", ".join(str(status.run) for status in self.candidates)
        ranked = f", ranked by {CRITERIA[self.ranked_by].title}" if self.ranked_by else ""
        return f"<Comparison of {names}{ranked}>"

    def raise_if_damaged(self) -> None:
        """Raise a `RunError` with the problem of each run that could not be read, if there is any."""
        if self.damaged:
            raise RunError(str(together(self.damaged)))


def compare_runs(paths: Sequence[Path], sort: str | None = None) -> Comparison:
    """Compare the runs at `paths`.

    Args:
        paths: the run directories; a run that is given twice counts once.
        sort: the key of `CRITERIA` to rank by. None ranks by validation accuracy, or else by test accuracy, if all runs
            with a finished epoch have it on the same images.

    Raises:
        UsageError: no path is given, one is not a run, or the figures that `sort` names do not exist or are not
            comparable.
        RunError: none of the runs can be read.
    """
    if not paths:
        raise UsageError("nothing to compare: name a run")
    if sort is not None and sort not in CRITERIA:
        raise UsageError(
            f"there is no figure {sort!r}{did_you_mean(str(sort), CRITERIA)}; choose one of {', '.join(CRITERIA)}"
        )
    candidates, damaged = list[RunStatus](), list[RunError]()
    for run in open_runs(paths):
        try:
            candidates.append(read_status(run))
        except RunError as error:
            damaged.append(error)
    if not candidates:
        raise RunError(str(together(damaged)))
    ranked_by, reason = _choose(candidates, sort)
    if ranked_by:
        candidates.sort(key=CRITERIA[ranked_by].key)
    doubts = _doubts(candidates, ranked_by)
    remarks = [*reason, *doubts]
    for criterion in (CRITERIA[name] for name in ACCURACIES):
        conflict = criterion.conflict(candidates)
        if conflict and not any(conflict in remark for remark in remarks):
            remarks.append(f"the {criterion.title} figures are not comparable: {conflict}")
    remarks += [status.outdated for status in candidates if status.outdated]
    settings = difference.variations([status.config for status in candidates])
    return Comparison(candidates, settings, ranked_by, remarks, doubts, damaged)


def open_runs(paths: Sequence[Path]) -> list[RunDirectory]:
    """Return the runs at `paths`, each once; raises a `UsageError` that names all paths that are not runs."""
    runs, errors = dict[Path, RunDirectory](), list[DnnError]()
    for path in paths:
        try:
            runs.setdefault(path.resolve(), RunDirectory.open(path))
        except UsageError as error:
            errors.append(error)
    if errors:
        raise together(errors)
    return list(runs.values())


def _choose(statuses: Sequence[RunStatus], sort: str | None) -> tuple[str | None, list[str]]:
    """Return the key of the criterion to rank by, or None, and a sentence about it.

    Runs without a finished epoch do not count.
    """
    trained = [status for status in statuses if status.best]
    obstacles = []
    for name in [sort] if sort else ACCURACIES:
        criterion = CRITERIA[name]
        obstacle = criterion.gap(trained) or criterion.conflict(trained)
        if obstacle and sort:
            raise UsageError(f"--sort {sort}: {obstacle}")
        if len(trained) < 2:
            return None, []
        if not obstacle:
            return name, [f"ranked by {criterion.title} {criterion.origin(trained[0])[1]}".rstrip()]
        obstacles.append(obstacle)
    return None, [f"not ranked: {'; '.join(obstacles)}"]


def _doubts(statuses: Sequence[RunStatus], ranked_by: str | None) -> list[str]:
    """Return a sentence if the first place may be due to chance, in a list; an empty list otherwise."""
    if ranked_by is None:
        return []
    first, second = statuses[:2]
    best, next_best = (CRITERIA[ranked_by].interval(status) for status in (first, second))
    if best is None or next_best is None or best[0] > next_best[1]:
        return []
    return [f"{first.run} and {second.run} may differ by chance alone: their 95 % intervals overlap"]
