"""Compare runs: the settings that differ, the figures, and which run is best.

Runs that differ in their seeds alone are also compared as one config; see `seed_groups`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnn_cli.config import difference
from dnn_cli.config.messages import did_you_mean
from dnn_cli.errors import DnnError, RunError, UsageError, together
from dnn_cli.runs import seed_groups
from dnn_cli.runs.criteria import ACCURACIES, CRITERIA
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.seed_groups import ConfigComparison
from dnn_cli.runs.status import RunStatus, read_status


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
        configs: the configs compared over their seeds; None if no config has several seeds.
    """

    candidates: list[RunStatus]
    settings: dict[str, list[Any]]
    ranked_by: str | None
    remarks: list[str]
    doubts: list[str]
    damaged: list[RunError]
    configs: ConfigComparison | None = None

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
    configs = seed_groups.compare_configs(candidates, sort)
    ranked_by, reason = _choose(candidates, sort, configs)
    if ranked_by:
        candidates.sort(key=CRITERIA[ranked_by].key)
    doubts = [] if configs else _doubts(candidates, ranked_by)
    remarks = [*reason, *doubts]
    for criterion in (CRITERIA[name] for name in ACCURACIES):
        conflict = criterion.conflict(candidates)
        if conflict and not configs and not any(conflict in remark for remark in remarks):
            remarks.append(f"the {criterion.title} figures are not comparable: {conflict}")
    remarks += [status.outdated for status in candidates if status.outdated]
    remarks += configs.remarks if configs else []
    settings = difference.variations([status.config for status in candidates])
    return Comparison(candidates, settings, ranked_by, remarks, doubts, damaged, configs)


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


def _choose(
    statuses: Sequence[RunStatus], sort: str | None, configs: ConfigComparison | None
) -> tuple[str | None, list[str]]:
    """Return the key of the criterion to rank runs by, or None, and a sentence about it.

    Runs without a finished epoch do not count. Where configs are ranked by the figure `sort`, runs need not be.
    """
    trained = [status for status in statuses if status.best]
    obstacles = []
    for name in [sort] if sort else ACCURACIES:
        criterion = CRITERIA[name]
        obstacle = criterion.gap(trained) or criterion.conflict(trained)
        if obstacle and sort and not (configs and configs.ranked_by == sort):
            raise UsageError(f"--sort {sort}: {obstacle}")
        if len(trained) < 2:
            return None, []
        if not obstacle:
            return name, [f"ranked by {criterion.title} {criterion.origin(trained[0])[1]}".rstrip()]
        obstacles.append(obstacle)
    if configs:
        return None, []  # the seeds of a config hold out different images; its remarks say how configs are ranked
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
