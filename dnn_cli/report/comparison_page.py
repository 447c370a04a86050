"""Several runs on one page: curves overlaid, what differs, and which is better by more than chance."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dnn_cli.config import difference
from dnn_cli.evaluation import significance
from dnn_cli.evaluation.significance import PairwiseTest
from dnn_cli.report import html as report_html
from dnn_cli.report import plots
from dnn_cli.report.html import Page, Picture
from dnn_cli.report.plots import SERIES, Line
from dnn_cli.report.run_results import RunResults
from dnn_cli.runs.comparison import Comparison

DISAGREEMENTS = 16  # images that only one of two runs gets right


def build(found: Comparison, studies: Sequence[RunResults]) -> Page:
    """The page of several runs, those of `found` in its order."""
    groups = _groups(studies)
    duels = [duel for group in groups for duel in _duels(group)]
    verdicts = [_verdict(duel) for duel in duels] + _apart(studies, groups)
    drawn = _curves(studies)
    # A test on the same images settles what overlapping intervals leave open.
    remarks = [remark for remark in found.remarks if not (duels and remark in found.doubts)]
    settings = {name: [_setting(value) for value in values] for name, values in found.settings.items()}
    html = report_html.render(
        "comparison.html",
        drawn,
        runs=[study.figures() | {"color": number % len(SERIES) + 1} for number, study in enumerate(studies)],
        warnings=list(dict.fromkeys(text for study in studies for text in study.warnings)),
        verdicts=verdicts,
        duels=duels,
        is_corrected=any(duel.p != duel.corrected for duel in duels),
        settings=settings,
        remarks=remarks,
        curves=list(drawn),
        disagreements=_disagreements(studies, max(duels, key=lambda duel: duel.p)) if duels else [],
    )
    numbers = {
        "runs": [study.figures() for study in studies],
        "settings": found.settings,
        "duels": [asdict(duel) | {"more_than_chance": duel.is_decided} for duel in duels],
        "verdicts": verdicts,
        "remarks": remarks,
    }
    return Page(html, drawn, numbers, verdicts)


def _groups(studies: Sequence[RunResults]) -> list[list[RunResults]]:
    """Those that were judged by the same images, together; the largest group first."""
    groups: dict[str, list[RunResults]] = {}
    for study in studies:
        if study.judged:
            groups.setdefault(study.judged.fingerprint, []).append(study)
    return sorted(groups.values(), key=len, reverse=True)


def _duels(group: Sequence[RunResults]) -> list[PairwiseTest]:
    return significance.pairwise_tests({study.name: study.judged.right for study in group if study.judged})


def _verdict(duel: PairwiseTest) -> str:
    """What a duel says, with its figures."""
    images = duel.both + duel.only_best + duel.only_other + duel.neither
    counts = (
        f"Of {images:,} test images {duel.only_best:,} are right with {duel.best} alone and {duel.only_other:,} with "
        f"{duel.other} alone"
    )
    p = f"p = {duel.corrected:.2g}"
    if duel.is_decided:
        return f"{duel.best} is better than {duel.other} by more than chance. {counts}: {p}."
    if duel.only_best == duel.only_other:
        return f"{duel.best} and {duel.other} make equally many errors. {counts}."
    return f"{duel.best} has fewer errors than {duel.other}, which may be chance alone. {counts}: {p}."


def _apart(studies: Sequence[RunResults], groups: Sequence[Sequence[RunResults]]) -> list[str]:
    """Why some runs are not compared with others."""
    said = []
    if len(groups) > 1:
        sets = "; ".join(f"{', '.join(study.name for study in group)} by {_images(group[0])}" for group in groups)
        said.append(f"Runs that were judged by different test images are not compared: {sets}.")
    unseen = [study.name for study in studies if not study.judged]
    if unseen:
        said.append(f"Not compared, because their test images cannot be had: {', '.join(unseen)}.")
    return said


def _images(study: RunResults) -> str:
    """The test images of a run that was judged, in words."""
    assert study.judged
    chosen = study.candidate.data.selected_classes
    classes = f" of the classes {' '.join(map(str, chosen))}" if chosen else ""
    return f"{len(study.judged.labels):,} images{classes} of {study.judged.dataset}"


def _curves(studies: Sequence[RunResults]) -> dict[str, Picture]:
    """Of each figure, the lines of all runs: training dashed where there is validation, too."""
    drawn = {}
    for name, (title, scale) in plots.CURVES.items():
        lines = [line for number, study in enumerate(studies) for line in _lines(study, name, number)]
        if lines:
            figure = plots.curves(title, lines, scale=scale, below=True)
            drawn[name.replace("_", "-")] = Picture(figure, f"{title} of {len(studies)} runs over their epochs")
    return drawn


def _lines(study: RunResults, name: str, number: int) -> list[Line]:
    color, best = SERIES[number % len(SERIES)], study.best["epoch"]
    keys = [key for key in (f"val_{name}", name) if key in study.best]
    return [
        Line("" if rank else study.name, [row[key] for row in study.history], color, bool(rank), None if rank else best)
        for rank, key in enumerate(keys)
    ]


def _disagreements(studies: Sequence[RunResults], duel: PairwiseTest) -> list[dict[str, Any]]:
    """The images that only one of two runs gets right, those first of which the other was surest."""
    best, other = (next(study.judged for study in studies if study.name == name) for name in (duel.best, duel.other))
    assert best
    assert other
    parts = []
    for right, wrong, winner, loser in ((best, other, duel.best, duel.other), (other, best, duel.other, duel.best)):
        chosen = [index for index in wrong.worst(len(wrong.labels)) if right.right[index]][:DISAGREEMENTS]
        if chosen:
            parts.append({"winner": winner, "loser": loser, "tiles": report_html.tiles(wrong, chosen)})
    return parts


def _setting(value: Any) -> str:
    return "–" if value is difference.ABSENT else difference.show(value)
