"""Runs beside each other: what differs in their configs, what they reached, and which is best where that can be told.

Figures are compared only where they were found on the same images. Two runs held out the same ones if the data, the
count and the seed that drew them are the same; two evaluations are of the same ones if their fingerprints are.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from dnn_cli.config import difference
from dnn_cli.runs import status
from dnn_cli.config.schema import Config
from dnn_cli.errors import ConfigError
from dnn_cli.errors import DnnError
from dnn_cli.errors import RunError
from dnn_cli.errors import UsageError
from dnn_cli.errors import together
from dnn_cli.stats import wilson
from dnn_cli.runs.status import Standing
from dnn_cli.runs.directory import RunDirectory

Interval = tuple[float, float]


@dataclass(frozen=True)
class Candidate(Standing):
    """A run, as far as it is compared.

    Attributes:
        config: what it trains.
    """

    config: Config

    @property
    def held_out(self) -> int:
        """How many images it holds out."""
        return int(self.data.get("validation_images", self.config.data.validation))


class Criterion:
    """A figure that runs can be ranked by.

    Attributes:
        title: the figure in words.
        missing: why a run may have none, in words that go on with its name.
        descending: whether more is better.
    """

    title: str
    missing = ""
    descending = False

    def figure(self, candidate: Candidate) -> float | None:
        """Its value; None where there is none."""
        raise NotImplementedError

    def basis(self, candidate: Candidate) -> Hashable:
        """What has to be equal for two figures to compare."""
        return None

    def origin(self, candidate: Candidate) -> tuple[str, str]:
        """What was done to find it, and on what: ``("evaluated", "on mnist")``."""
        return "", ""

    def interval(self, candidate: Candidate) -> Interval | None:
        """Its 95 % interval, if it has one."""
        return None

    def key(self, candidate: Candidate) -> tuple[float, float]:
        """What sorts the best candidate first; of equals the smallest, and what has no figure last."""
        figure, size = self.figure(candidate), candidate.parameters
        rank = inf if figure is None else -figure if self.descending else figure
        return rank, inf if size is None else size

    def gap(self, candidates: Sequence[Candidate]) -> str:
        """Which of them have no figure, in words; empty if all have one."""
        lacking = [str(candidate.run) for candidate in candidates if self.figure(candidate) is None]
        return f"{self.missing} {', '.join(lacking)}" if lacking else ""

    def conflict(self, candidates: Sequence[Candidate]) -> str:
        """Why the figures that there are do not compare, in words; empty if they do."""
        having = [candidate for candidate in candidates if self.figure(candidate) is not None]
        for other in having[1:]:
            if self.basis(other) != self.basis(having[0]):
                (verb, one), (_, two) = self.origin(having[0]), self.origin(other)
                return f"{having[0].run} was {verb} {one}, {other.run} {OTHERS if one == two else two}"
        return ""


class ValAccuracy(Criterion):
    """The accuracy of the best epoch on what was held out."""

    title = "val accuracy"
    missing = "nothing was held out by"
    descending = True

    def figure(self, candidate: Candidate) -> float | None:
        return candidate.best.get("val_accuracy") if candidate.best else None

    def basis(self, candidate: Candidate) -> Hashable:
        """What decides which images were held out: every setting of the data but where they were looked for."""
        settings = candidate.config.to_dict()["data"].items()
        others = [item for item in settings if item[0] not in ("dataset", "fallback", "validation")]
        return candidate.data["fingerprint"], candidate.held_out, candidate.config.seed, str(others)

    def origin(self, candidate: Candidate) -> tuple[str, str]:
        images = f"{candidate.held_out:,} images of {candidate.data['name']}"
        return "judged", f"on {images} held out by seed {candidate.config.seed}"

    def interval(self, candidate: Candidate) -> Interval | None:
        accuracy, count = self.figure(candidate), candidate.held_out
        return None if accuracy is None else wilson(round(accuracy * count), count)


class TestAccuracy(Criterion):
    """The accuracy on the test images, as it was evaluated last."""

    title = "test accuracy"
    missing = "`dnn evaluate` was not run on"
    descending = True

    def figure(self, candidate: Candidate) -> float | None:
        return candidate.test.accuracy if candidate.test else None

    def basis(self, candidate: Candidate) -> Hashable:
        return candidate.test and candidate.test.fingerprint

    def origin(self, candidate: Candidate) -> tuple[str, str]:
        return "evaluated", f"on {candidate.test.dataset}" if candidate.test else ""

    def interval(self, candidate: Candidate) -> Interval | None:
        return candidate.test.accuracy_interval if candidate.test else None


class Seconds(Criterion):
    """The time that the epochs took, which is another on another machine."""

    title = "seconds"
    missing = "no epoch was trained by"

    def figure(self, candidate: Candidate) -> float | None:
        return candidate.seconds if candidate.best else None

    def basis(self, candidate: Candidate) -> Hashable:
        return candidate.environment.get("platform"), candidate.environment.get("cpus")

    def origin(self, candidate: Candidate) -> tuple[str, str]:
        where = candidate.environment
        return "trained", f"on {where.get('platform')} with {where.get('cpus')} processors"


class Parameters(Criterion):
    """How many numbers the network holds."""

    title = "parameters"
    missing = "the number of parameters is not recorded by"

    def figure(self, candidate: Candidate) -> float | None:
        return candidate.parameters


OTHERS = "on other images of that name"
ACCURACIES = ("val_accuracy", "test_accuracy")
CRITERIA = {
    "val_accuracy": ValAccuracy(),
    "test_accuracy": TestAccuracy(),
    "seconds": Seconds(),
    "parameters": Parameters(),
}


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other.

    Attributes:
        candidates: the best first if `ranked_by` says by what, otherwise as they were named.
        settings: each setting that differs, with its value for each candidate.
        ranked_by: a key of `CRITERIA`, or None.
        remarks: what is to be known about the figures, a sentence each.
        doubts: those of them that say the first place may be a matter of luck.
        damaged: what is wrong with the runs that could not be read.
    """

    candidates: list[Candidate]
    settings: dict[str, list[Any]]
    ranked_by: str | None
    remarks: list[str]
    doubts: list[str]
    damaged: list[RunError]

    def raise_if_damaged(self) -> None:
        """Raise a `RunError` that says what is wrong with each run that could not be read, if there is any."""
        if self.damaged:
            raise RunError(str(together(self.damaged)))


def compare_runs(paths: Sequence[Path], sort: str | None = None) -> Comparison:
    """Read the runs at `paths` and put them beside each other.

    Args:
        paths: of runs.
        sort: the key of `CRITERIA` to rank by. None is the accuracy on what was held out, or else that on the test
            images, if all that have trained have it on the same ones.

    Raises:
        UsageError: some path is no run, or the figures that `sort` names do not compare.
        RunError: none of the runs can be read.
    """
    candidates, damaged = list[Candidate](), list[RunError]()
    runs = _open(paths)
    for run in runs:
        try:
            candidates.append(_read(run))
        except (RunError, ConfigError) as error:
            damaged.append(RunError(str(error)))
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
            remarks.append(f"the {criterion.title} figures do not compare: {conflict}")
    remarks += [candidate.outdated for candidate in candidates if candidate.outdated]
    settings = difference.variations([candidate.config for candidate in candidates])
    return Comparison(candidates, settings, ranked_by, remarks, doubts, damaged)


def _open(paths: Sequence[Path]) -> list[RunDirectory]:
    """The runs at `paths`, each once; raises `UsageError` that names all that are none."""
    runs, errors = dict[Path, RunDirectory](), list[DnnError]()
    for path in paths:
        try:
            runs.setdefault(path.resolve(), RunDirectory.open(path))
        except UsageError as error:
            errors.append(error)
    if errors:
        raise together(errors)
    return list(runs.values())


def _read(run: RunDirectory) -> Candidate:
    standing, config = status.read(run), run.config()
    parameters = standing.parameters or _count_parameters(config, standing.environment["dataset"])
    return Candidate(**(vars(standing) | {"parameters": parameters}), config=config)


def _count_parameters(config: Config, dataset: dict[str, Any]) -> int | None:
    """The size of a network that has not been trained to the end, from what its images are recorded to be."""
    if "image_shape" not in dataset:
        return None
    from dnn_cli.engines import network_spec

    return network_spec.network_spec(config, tuple(dataset["image_shape"]), dataset["classes"]).parameters


def _choose(candidates: Sequence[Candidate], sort: str | None) -> tuple[str | None, list[str]]:
    """What to rank by, or None, and a sentence that says so; those that have no figures yet are left aside."""
    trained = [candidate for candidate in candidates if candidate.best]
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


def _doubts(candidates: Sequence[Candidate], ranked_by: str | None) -> list[str]:
    """Whether the first place may be a matter of luck."""
    if ranked_by is None:
        return []
    first, second = candidates[:2]
    best, next_best = (CRITERIA[ranked_by].interval(candidate) for candidate in (first, second))
    if best is None or next_best is None or best[0] > next_best[1]:
        return []
    return [f"{first.run} and {second.run} may differ by chance alone: their 95 % intervals overlap"]
