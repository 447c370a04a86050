"""The report of one or several runs: an HTML page, and its pictures as files on request."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnn_cli.errors import require_extra
from dnn_cli.files import check_output, write_output
from dnn_cli.reporting import comparison_page, figures, run_page
from dnn_cli.reporting.figures import Format
from dnn_cli.reporting.html import Page
from dnn_cli.reporting.run_results import run_results
from dnn_cli.runs import comparison, status
from dnn_cli.runs.directory import RunDirectory

COMPARISON_FILE = Path("comparison.html")


@dataclass(frozen=True)
class Result:
    """The files and statements of a report.

    Attributes:
        file: the page.
        plots: the files of its pictures; empty if none were requested.
        figures: the numbers on the page, as plain values for JSON.
        headlines: the main statements of the page, one per line.
        warnings: everything that limits the meaning of the figures, one sentence each.
    """

    file: Path
    plots: list[Path]
    figures: dict[str, Any]
    headlines: list[str]
    warnings: list[str]


def report(paths: Sequence[Path], *, out: Path | None = None, kind: Format | None = None) -> Result:
    """Write the page of a run, or a page that compares several runs.

    Args:
        paths: the runs; empty for the newest run in ``runs/``.
        out: the file of the page; None for the run's own file, or for `COMPARISON_FILE` if there are several runs.
        kind: the format in which the pictures are saved too, in the run or in a folder beside the page of several runs;
            None to save no pictures.

    Raises:
        UsageError: a path is no run, `out` cannot be written, or the ``report`` extra is not installed.
        RunError: a run is damaged, or has no finished epoch.
        DnnError: a file cannot be written.
    """
    require_extra("report", "matplotlib", "jinja2", purpose="dnn report")
    if out is not None:
        check_output(out)
    runs = comparison.open_runs(paths) or [RunDirectory.newest()]
    run = runs[0] if len(runs) == 1 else None
    if run:
        results = [run_results(status.read_status(run))]
        page = run_page.build(results[0])
    else:
        found = comparison.compare_runs(paths)
        found.raise_if_damaged()
        results = [run_results(candidate) for candidate in found.candidates]
        page = comparison_page.build(found, results)
    file = out or (run.report_file if run else COMPARISON_FILE)
    folder = run.plots_folder if run else file.with_name(f"{file.stem}-plots")
    write_output(file, page.html, in_run=run is not None and out is None)
    saved = _save_pictures(page, folder, kind, in_run=run is not None) if kind else []
    warnings = list(dict.fromkeys(text for each in results for text in each.warnings))
    return Result(file, saved, page.figures, page.headlines, warnings)


def _save_pictures(page: Page, folder: Path, kind: Format, *, in_run: bool) -> list[Path]:
    files = []
    for name, picture in page.pictures.items():
        files.append(folder / f"{name}.{kind}")
        write_output(files[-1], figures.save(picture.figure, kind), in_run=in_run)
    return files
