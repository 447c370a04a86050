"""Runs → an HTML page in a file, and its pictures in files of their own where they are wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dnn_cli.errors import UsageError
from dnn_cli.files import check_output, write_output
from dnn_cli.report import comparison_page, plots, run_page
from dnn_cli.report.html import Page
from dnn_cli.report.plots import Format
from dnn_cli.report.run_results import run_results
from dnn_cli.runs import comparison, status
from dnn_cli.runs.directory import RunDirectory

COMPARISON = Path("comparison.html")


@dataclass(frozen=True)
class Result:
    """What was written.

    Attributes:
        file: the page.
        plots: its pictures, if they were asked for.
        figures: the numbers on the page.
        headlines: what it says, a line each.
        warnings: what has to be known before it is believed.
    """

    file: Path
    plots: list[Path]
    figures: dict[str, Any]
    headlines: list[str]
    warnings: list[str]


def report(paths: Sequence[Path], *, out: Path | None = None, kind: Format | None = None) -> Result:
    """Write the page of a run, or one that compares several.

    Args:
        paths: of runs; none is the newest in ``runs/``.
        out: the file; None is the run's own for its page, and `COMPARISON` for several runs.
        kind: of file to save the pictures in: in the run, or in a folder beside the page of several.

    Raises:
        UsageError: some path is no run, the page cannot be where it is wanted, or the extra is not installed.
        RunError: a run is damaged, or has no finished epoch.
        DnnError: a file cannot be written.
    """
    _check(out)
    runs = comparison.open_runs(paths) or [RunDirectory.newest()]
    alone = runs[0] if len(runs) == 1 else None
    if alone:
        studies = [run_results(status.read_status(alone))]
        page = run_page.build(studies[0])
    else:
        found = comparison.compare_runs(paths)
        found.raise_if_damaged()
        studies = [run_results(candidate) for candidate in found.candidates]
        page = comparison_page.build(found, studies)
    file = out or (alone.report_file if alone else COMPARISON)
    folder = alone.plots_folder if alone else file.with_name(f"{file.stem}-plots")
    write_output(file, page.html)
    saved = _save(page, folder, kind) if kind else []
    warnings = list(dict.fromkeys(text for each in studies for text in each.warnings))
    return Result(file, saved, page.figures, page.headlines, warnings)


def _check(out: Path | None) -> None:
    missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        raise UsageError(f"dnn report needs {' and '.join(missing)}: pip install 'dnn-cli[report]'")
    if out is not None:
        check_output(out)


def _save(page: Page, folder: Path, kind: Format) -> list[Path]:
    files = []
    for name, picture in page.pictures.items():
        files.append(folder / f"{name}.{kind}")
        write_output(files[-1], plots.save(picture.figure, kind))
    return files
