"""The page and the picture of an explanation, and the files that they are written to."""

from pathlib import Path

from dnn_cli.errors import UsageError, require_extra
from dnn_cli.explanation.explain import Explanation
from dnn_cli.files import check_output, write_output
from dnn_cli.reporting import explanation_plots as plots
from dnn_cli.reporting import figures, html
from dnn_cli.reporting.figures import Picture


def check(out: Path | None, image: str | None) -> None:
    """Check, before anything is computed, that `write` can draw and that `out` can be written.

    Args:
        out: the file to write; None for the default files.
        image: the image file to explain, which must not be overwritten; None for an image of a dataset.

    Raises:
        UsageError: the ``report`` extra is not installed, or `out` is not a PNG or HTML file in an existing folder.
    """
    require_extra("report", "matplotlib", "jinja2", purpose="dnn explain")
    if out is None:
        return
    check_output(out, suffixes=(".png", ".html"))
    if image is not None and out.exists() and Path(image).exists() and out.samefile(image):
        raise UsageError(f"--out {out} is the image itself")


def write(found: Explanation, out: Path | None = None) -> list[Path]:
    """Write the picture and the page of an explanation.

    Args:
        found: the explanation.
        out: the only file to write, a PNG or HTML file. None writes both, into the run's folder of explanations, or
            into the current folder if the network is a single file.

    Returns:
        The files that were written.

    Raises:
        DnnError: a file cannot be written.
    """
    files = [out] if out else _default_files(found)
    for file in files:
        content = page(found) if file.suffix.lower() == ".html" else picture(found)
        write_output(file, content, in_run=out is None)
    return files


def picture(found: Explanation) -> bytes:
    """Return the content of a PNG file that shows the explanation."""
    return figures.save(plots.overview(found, _title(found), _subtitle(found)), "png")


def page(found: Explanation) -> str:
    """Return the HTML page of the explanation."""
    pictures = {
        "prediction": Picture(plots.prediction(found), f"the image and its probabilities; {_title(found)}"),
        "maps": Picture(
            plots.maps(found),
            f"maps of the pixels that are evidence for and against {', '.join(found.names)}, by three methods",
        ),
    }
    if found.units:
        pictures["units"] = Picture(plots.units(found), plots.units_caption(found))
    return html.render(
        "explanation.html",
        pictures,
        title=_title(found),
        subtitle=_subtitle(found),
        found=found,
        units_caption=plots.units_caption(found),
    )


def _default_files(found: Explanation) -> list[Path]:
    run = found.source.run
    stem = run.explanations_folder / found.file_stem if run else Path(f"explanation-{found.file_stem}")
    return [stem.with_name(f"{stem.name}{ending}") for ending in (".png", ".html")]


def _title(found: Explanation) -> str:
    first, second = (html.percent(found.probabilities[label]) for label in (found.predicted, found.runner_up))
    return f"Why {found.names[0]} ({first}), and not {found.names[1]} ({second})?"


def _subtitle(found: Explanation) -> str:
    calibrated = " · calibrated probabilities" if found.source.calibration else ""
    return f"{found.title} · {found.source.file}{calibrated}"
