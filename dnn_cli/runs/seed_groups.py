"""Compare configs over their seeds: runs that differ in nothing but the seed are samples of one config.

A figure of a config is the mean over its seeds. Two configs are compared seed by seed, because runs with the same seed
share the images held out and the random numbers, by Student's paired t-test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dnn_cli.config import difference
from dnn_cli.runs.criteria import ACCURACIES, CRITERIA, Criterion
from dnn_cli.runs.status import RunStatus
from dnn_cli.stats import Spread, holm, paired_t_test, spread

SIGNIFICANCE_LEVEL = 0.05  # the difference of two configs is significant if its corrected p-value is below this
LONGEST_NAME = 60  # characters of a config's name
LEAST_SEEDS = 2  # of which a standard deviation exists
# Settings that change the last bits of the weights at most.
INCIDENTAL = ("threads", "jit_compile", "checkpoint_seconds", "tensorboard")


@dataclass(frozen=True)
class SeedGroup:
    """The finished runs of one config, one of each seed.

    Attributes:
        name: the name of the config.
        runs: the runs, by ascending seed.
    """

    name: str
    runs: tuple[RunStatus, ...]

    @property
    def seeds(self) -> list[int]:
        """The seeds, ascending."""
        return [run.config.seed for run in self.runs]

    def spread(self, criterion: Criterion) -> Spread | None:
        """Return a figure over the seeds; None if a run has none, or if two were not evaluated on the same images."""
        figures = [criterion.figure(run) for run in self.runs]
        values = [figure for figure in figures if figure is not None]
        if len(values) < len(figures) or (not criterion.depends_on_seed and criterion.conflict(self.runs)):
            return None
        return spread(values, bounded=criterion.is_share)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        figures = {name: self.spread(CRITERIA[name]) for name in CRITERIA}
        return {
            "config": self.name,
            "runs": [str(run.run) for run in self.runs],
            "seeds": self.seeds,
            "figures": {name: figure and figure.to_dict() for name, figure in figures.items()},
        }


@dataclass(frozen=True)
class PairedTest:
    """The best config compared with another one, seed by seed.

    Attributes:
        best: the config with the highest mean.
        other: the config that it is compared with.
        seeds: the seeds that both were trained with.
        difference: the figure of the best less that of the other, over these seeds.
        p: the p-value of Student's paired t-test; 1 if all differences are equal, which it cannot judge.
        corrected: the same after Holm's correction for the number of tests.
    """

    best: str
    other: str
    seeds: tuple[int, ...]
    difference: Spread
    p: float
    corrected: float

    @property
    def is_decided(self) -> bool:
        """True if the difference is significant, and in favour of the best config."""
        return self.corrected < SIGNIFICANCE_LEVEL and self.difference.mean > 0

    def verdict(self, title: str) -> str:
        """Return the outcome in words; `title` names the figure."""
        mean, interval = self.difference.mean, self.difference.interval
        ends = f"95 % interval {interval[0]:+.4f} to {interval[1]:+.4f}, " if interval else ""
        figures = f"{title} {mean:+.4f} on average over {len(self.seeds)} seeds ({ends}p = {self.corrected:.2g})"
        if self.is_decided:
            return f"{self.best} is significantly better than {self.other}: {figures}"
        return f"{self.best} and {self.other} may differ by chance alone: {figures}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**vars(self), "difference": self.difference.to_dict(), "more_than_chance": self.is_decided}


@dataclass(frozen=True)
class ConfigComparison:
    """Configs, each over its seeds.

    Attributes:
        groups: the configs, the best first if `ranked_by` is not None.
        ranked_by: a key of `CRITERIA`, or None.
        tests: the best config against each other one with which it shares two seeds.
        verdicts: the outcome of each test; of a single config, its accuracy.
        remarks: the verdicts, and sentences about the ranking and the runs left out.
    """

    groups: list[SeedGroup]
    ranked_by: str | None
    tests: list[PairedTest]
    verdicts: list[str]
    remarks: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "ranked_by": self.ranked_by,
            "configs": [group.to_dict() for group in self.groups],
            "tests": [test.to_dict() for test in self.tests],
        }


def compare_configs(statuses: Sequence[RunStatus], sort: str | None = None) -> ConfigComparison | None:
    """Compare the configs of runs over their seeds.

    Args:
        statuses: the runs.
        sort: the key of `CRITERIA` to rank by; None for validation accuracy, or else test accuracy, if all configs have
            it on the same images.

    Returns:
        None if no config has several seeds.
    """
    groups, remarks = _groups(statuses)
    if not any(len(group.runs) >= LEAST_SEEDS for group in groups):
        return None
    if len(groups) < 2:
        return ConfigComparison(groups, None, [], _figures(groups[0]), remarks)
    ranked_by = next((name for name in ([sort] if sort else ACCURACIES) if _is_comparable(groups, name)), None)
    if ranked_by is None:
        reason = "configs are not ranked: their figures are not comparable"
        return ConfigComparison(groups, None, [], [], [reason, *remarks])
    criterion, sign = CRITERIA[ranked_by], -1 if CRITERIA[ranked_by].descending else 1
    means = {group.name: figure.mean for group in groups if (figure := group.spread(criterion))}
    groups.sort(key=lambda group: sign * means[group.name])
    remarks.insert(0, f"configs are ranked by their mean {criterion.title} over seeds")
    tests = _tests(groups, criterion) if ranked_by in ACCURACIES else []
    missing = [group.name for group in groups[1:] if group.name not in {test.other for test in tests}]
    verdicts = [test.verdict(criterion.title) for test in tests]
    remarks[1:1] = verdicts
    if missing and ranked_by in ACCURACIES:
        remarks.append(
            f"not tested, because {groups[0].name} shares fewer than two seeds with them: {', '.join(missing)}"
        )
    return ConfigComparison(groups, ranked_by, tests, verdicts, remarks)


def _figures(group: SeedGroup) -> list[str]:
    """Return the accuracies of a config over its seeds, a clause each."""
    spreads = [(CRITERIA[name].title, group.spread(CRITERIA[name])) for name in ACCURACIES]
    return [
        f"{title} of {group.name} over {len(group.runs)} seeds: {found}, mean ± standard deviation (95 % interval)"
        for title, found in spreads
        if found
    ]


def _groups(statuses: Sequence[RunStatus]) -> tuple[list[SeedGroup], list[str]]:
    """Return the finished runs by their configs, in the order of the runs, and a sentence about those left out."""
    found = dict[str, dict[int, RunStatus]]()
    left_out = dict[str, list[str]]()
    for status in statuses:
        runs = found.setdefault(identity(status), {}) if status.finished else {}
        if not status.finished:
            left_out.setdefault("unfinished", []).append(str(status.run))
        elif status.config.seed in runs:
            left_out.setdefault("the same config and seed as another run", []).append(str(status.run))
        else:
            runs[status.config.seed] = status
    members = [tuple(runs[seed] for seed in sorted(runs)) for runs in found.values()]
    remarks = [f"left out of the figures over seeds: {', '.join(runs)} ({why})" for why, runs in left_out.items()]
    return [SeedGroup(name, runs) for name, runs in zip(_names(members), members, strict=True)], remarks


def identity(status: RunStatus) -> str:
    """Return a text that is equal for runs that differ in nothing but the seed."""
    values = status.config.to_dict()
    training = {key: value for key, value in values["training"].items() if key not in INCIDENTAL}
    return repr({**values, "seed": None, "training": training, "fingerprint": status.data.fingerprint})


def _names(members: Sequence[Sequence[RunStatus]]) -> list[str]:
    """Return a name for each config: ``mnist`` of ``runs/mnist-1``, or ``mnist (optimizer.name=sgd)`` if several match.

    Where neither tells the configs apart, or the name would be long, the name is the paths of the runs.
    """
    stems = [_stem(runs) for runs in members]
    names = []
    for runs, stem in zip(members, stems, strict=True):
        alike = [others for others, other in zip(members, stems, strict=True) if other == stem]
        name = stem if len(alike) == 1 else f"{stem} ({_distinction(runs, alike)})"
        names.append(name if len(name) <= LONGEST_NAME else "")
    return [
        name if stem and name and names.count(name) == 1 else ", ".join(str(run.run) for run in runs)
        for name, stem, runs in zip(names, stems, members, strict=True)
    ]


def _stem(runs: Sequence[RunStatus]) -> str:
    """Return what the names of the run directories share before their numbers; "" if they share nothing."""
    stems = {run.run.path.name.rpartition("-")[0] for run in runs}
    return stems.pop() if len(stems) == 1 else ""


def _distinction(runs: Sequence[RunStatus], alike: Sequence[Sequence[RunStatus]]) -> str:
    """Return the settings of the config of `runs` that differ among `alike`, which contains it."""
    settings = difference.variations([each[0].config for each in alike])
    place = next(place for place, each in enumerate(alike) if each is runs)
    values = {key: values[place] for key, values in settings.items() if key != "seed"}
    return ", ".join(f"{key}={difference.show(value)}" for key, value in values.items())


def _is_comparable(groups: Sequence[SeedGroup], name: str) -> bool:
    """Return whether each config has a figure, and runs of equal seeds, or all runs, have it on the same images."""
    criterion = CRITERIA[name]
    if any(group.spread(criterion) is None for group in groups):
        return False
    runs = [run for group in groups for run in group.runs]
    if not criterion.depends_on_seed:
        return not criterion.conflict(runs)
    return not any(criterion.conflict([run for run in runs if run.config.seed == seed]) for seed in _seeds(groups))


def _seeds(groups: Sequence[SeedGroup]) -> set[int]:
    return {seed for group in groups for seed in group.seeds}


def _tests(groups: Sequence[SeedGroup], criterion: Criterion) -> list[PairedTest]:
    """Test the first config against each of the others with which it shares two seeds."""

    def figures(group: SeedGroup) -> dict[int, float]:
        pairs = ((run.config.seed, criterion.figure(run)) for run in group.runs)
        return {seed: figure for seed, figure in pairs if figure is not None}

    best, differences = figures(groups[0]), dict[str, dict[int, float]]()
    for group in groups[1:]:
        other = figures(group)
        shared = {seed: best[seed] - other[seed] for seed in best if seed in other}
        if len(shared) >= LEAST_SEEDS:
            differences[group.name] = shared
    p_values = [paired_t_test(list(shared.values())) for shared in differences.values()]
    return [
        PairedTest(groups[0].name, name, tuple(shared), spread(list(shared.values()), bounded=False), p, corrected)
        for (name, shared), p, corrected in zip(differences.items(), p_values, holm(p_values), strict=True)
    ]
