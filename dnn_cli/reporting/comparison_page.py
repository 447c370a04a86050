"""The page of several runs: which is significantly better, what differs in their configs, and their learning curves."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dnn_cli.command import command
from dnn_cli.config import difference
from dnn_cli.data.class_names import show
from dnn_cli.evaluation import significance
from dnn_cli.evaluation.significance import PairwiseTest
from dnn_cli.reporting import html as report_html
from dnn_cli.reporting import plots
from dnn_cli.reporting.figures import Picture
from dnn_cli.reporting.html import Page
from dnn_cli.reporting.palette import LIGHT
from dnn_cli.reporting.plots import Line
from dnn_cli.reporting.run_results import RunResults
from dnn_cli.runs.comparison import Comparison
from dnn_cli.runs.criteria import ACCURACIES, CRITERIA
from dnn_cli.runs.seed_groups import ConfigComparison

TRAINING_COLUMNS = ("loss", "accuracy")  # columns of the history that are measured on the training images
MAX_DISAGREEMENTS = 16  # Images shown that only one of two runs classifies correctly.


def build(found: Comparison, results: Sequence[RunResults]) -> Page:
    """Build the page of several runs; `results` are in the order of `found`."""
    # Without validation or recorded test figures, nothing is known over seeds.
    configs = found.configs if found.configs and found.configs.verdicts else None
    # Where configs have several seeds, their runs are samples: single ones are not tested against each other.
    groups = [] if configs else _groups_by_test_images(results)
    tests = [test for group in groups for test in _pairwise_tests(group)]
    verdicts = [_verdict(test) for test in tests] + ([] if configs else _not_compared(results, groups))
    verdicts += [f"{text}." for text in configs.verdicts] if configs else []
    pictures = _curves(results)
    # A test on the same images decides what overlapping intervals leave open.
    shown = [*(found.doubts if tests else ()), *(configs.verdicts if configs else ())]
    remarks = [remark for remark in found.remarks if remark not in shown]
    settings = {name: [_setting(value) for value in values] for name, values in found.settings.items()}
    html = report_html.render(
        "comparison.html",
        pictures,
        runs=[each.figures() | {"color": _color_number(number)} for number, each in enumerate(results)],
        warnings=list(dict.fromkeys(text for each in results for text in each.warnings)),
        verdicts=verdicts,
        tests=tests,
        configs=_config_rows(configs) if configs else [],
        config_tests=configs.tests if configs else [],
        is_corrected=any(test.p != test.corrected for test in tests),
        settings=settings,
        remarks=remarks,
        curves=list(pictures),
        disagreements=_disagreements(results, max(tests, key=lambda test: test.p)) if tests else [],
    )
    numbers = {
        "runs": [each.figures() for each in results],
        "settings": found.settings,
        "duels": [asdict(test) | {"more_than_chance": test.is_decided} for test in tests],
        "verdicts": verdicts,
        "remarks": remarks,
        "configs": configs and configs.to_dict(),
    }
    return Page(html, pictures, numbers, verdicts)


def _config_rows(configs: ConfigComparison) -> list[dict[str, Any]]:
    """Return the row of each config in the table: its name, its seeds, and its accuracies over them."""
    return [
        {"name": group.name, "seeds": group.seeds, **{name: group.spread(CRITERIA[name]) for name in ACCURACIES}}
        for group in configs.groups
    ]


def _groups_by_test_images(results: Sequence[RunResults]) -> list[list[RunResults]]:
    """Group the runs that were evaluated on the same test images, the largest group first."""
    groups: dict[str, list[RunResults]] = {}
    for each in results:
        if each.predictions:
            groups.setdefault(each.predictions.fingerprint, []).append(each)
    return sorted(groups.values(), key=len, reverse=True)


def _pairwise_tests(group: Sequence[RunResults]) -> list[PairwiseTest]:
    return significance.pairwise_tests({each.name: each.predictions.correct for each in group if each.predictions})


def _verdict(test: PairwiseTest) -> str:
    """Return the outcome of a test in words, with its figures."""
    images = test.both + test.only_best + test.only_other + test.neither
    counts = (
        f"Of {images:,} test images, {test.only_best:,} are correct only with {test.best} and {test.only_other:,} only "
        f"with {test.other}"
    )
    p = f"p = {test.corrected:.2g}"
    if test.is_decided:
        return f"{test.best} is significantly better than {test.other}. {counts} ({p})."
    if test.only_best == test.only_other:
        return f"{test.best} and {test.other} make the same number of errors. {counts}."
    return f"{test.best} makes fewer errors than {test.other}, but the difference may be chance. {counts} ({p})."


def _not_compared(results: Sequence[RunResults], groups: Sequence[Sequence[RunResults]]) -> list[str]:
    """Return the reasons why some runs are not compared with others, a sentence each."""
    reasons = []
    if len(groups) > 1:
        sets = "; ".join(f"{', '.join(each.name for each in group)} on {_test_images(group[0])}" for group in groups)
        reasons.append(f"Runs that were evaluated on different test images are not compared: {sets}.")
    missing = [each.name for each in results if not each.predictions]
    if missing:
        reasons.append(f"Not compared, because their test images cannot be read: {', '.join(missing)}.")
    return reasons


def _test_images(results: RunResults) -> str:
    """Return the test images of an evaluated run in words."""
    assert results.predictions
    selected, names = results.status.data.selected_classes, results.status.data.class_names
    classes = f" of the classes {' '.join(show(label, names) for label in selected)}" if selected else ""
    return f"{len(results.predictions.labels):,} images{classes} of {results.predictions.dataset}"


def _curves(results: Sequence[RunResults]) -> dict[str, Picture]:
    """Plot each column of the histories, with all runs in one plot."""
    pictures = {}
    for name, (title, scale) in plots.CURVES.items():
        lines = [line for number, each in enumerate(results) for line in _lines(each, name, number)]
        if lines:
            figure = plots.curves(title, lines, scale=scale, below=True)
            pictures[name.replace("_", "-")] = Picture(figure, f"{title} of {len(results)} runs over their epochs")
    return pictures


def _lines(results: RunResults, name: str, number: int) -> list[Line]:
    """Return the validation line of a run, if it has one, and its training line; a loss of training is dashed."""
    color, best = LIGHT.series[_color_number(number) - 1], results.best["epoch"]
    keys = [key for key in (f"val_{name}", name) if key in results.best]
    return [
        Line(
            "" if number else results.name,
            [row[key] for row in results.history],
            color,
            dashed=key in TRAINING_COLUMNS,
            best=None if number else best,
            name=f"{results.name}, training" if key in TRAINING_COLUMNS else results.name,
        )
        for number, key in enumerate(keys)
    ]


def _color_number(number: int) -> int:
    """Return the number of a run's colour in the palette, from 1; the colours repeat if there are too many runs."""
    return number % len(LIGHT.series) + 1


def _disagreements(results: Sequence[RunResults], test: PairwiseTest) -> list[dict[str, Any]]:
    """Choose the images that only one of two runs classifies correctly, by descending confidence of the other run."""
    best, other = (next(each.predictions for each in results if each.name == name) for name in (test.best, test.other))
    assert best
    assert other
    parts = []
    for correct, wrong, winner, loser in ((best, other, test.best, test.other), (other, best, test.other, test.best)):
        chosen = [index for index in wrong.worst(len(wrong.labels)) if correct.correct[index]][:MAX_DISAGREEMENTS]
        if chosen:
            tiles, explain = report_html.tiles(wrong, chosen), command("explain", loser)
            parts.append({"winner": winner, "loser": loser, "tiles": tiles, "explain": explain})
    return parts


def _setting(value: Any) -> str:
    return "–" if value is difference.ABSENT else difference.show(value)
