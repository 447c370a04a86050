"""Test the plots of a report and their output: reproducible bytes, colours of the page, sizes of the data."""

import re
from types import SimpleNamespace
from typing import cast

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from dnn_cli.reporting import comparison_page, figures, image_grids, palette, plots
from dnn_cli.reporting.plots import Line
from dnn_cli.reporting.run_results import RunResults
from dnn_cli.reporting.unit_activity import LayerActivity
from dnn_cli.runs.records import CalibrationBin

LAYER = LayerActivity("model.layers[0]", "relu", 4, 0.25, 0.0, 0.5, 0.3, (6, 0, 2), (0.0, 1.0, 2.0, 3.0))


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_names_are_no_mathematics_and_need_no_utf_8(kind: figures.Format) -> None:
    figure = figures.new_figure(3, 2)  # not in the style of reports
    figure.suptitle("$\\frac$ r\udcff")
    content = figures.save(figure, kind)
    assert kind == "png" or b"$\\frac$ r\\udcff" in content


def examples() -> dict[str, Figure]:
    random = np.random.default_rng(0)
    bins = [CalibrationBin(0, None, None), CalibrationBin(4, 0.6, 0.5), CalibrationBin(90, 0.9, 1.0)]
    return {
        "curves": plots.curves("loss", [Line("a", [3.0, 0.1]), Line("b", [2.0, 1.0], best=2)], scale="log"),
        "one epoch": plots.curves("loss", [Line("a", [3.0], best=1)], scale="log"),
        "long": plots.curves("loss", [Line("a", np.linspace(1, 2, 100_000).tolist(), best=70_001)]),
        "confusion": plots.confusion(np.array([[9, 1], [0, 8]]), [0, 1]),
        "many classes": plots.confusion(np.eye(300, dtype=int), list(range(300))),
        "reliability": plots.reliability(bins),
        "calibrated": plots.reliability(bins, [bins[0], CalibrationBin(40, 0.55, 0.5), CalibrationBin(54, 0.95, 0.9)]),
        "activation": plots.activation(LAYER),
        "weights": image_grids.weights(random.normal(size=(20, 5, 5))),
        "gallery": image_grids.gallery(random.random((3, 6, 5, 3)), ["1 → 2", "3", "4"]),
    }


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_files_are_reproducible_and_independent_of_matplotlib_settings(kind: figures.Format) -> None:
    first = {name: figures.save(figure, kind) for name, figure in examples().items()}
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": None}):
        assert {name: figures.save(figure, kind) for name, figure in examples().items()} == first
    assert len(first["long"]) < 300_000
    if kind == "svg":
        assert not any(b"dc:date" in picture or b"matplotlib.org" in picture.lower() for picture in first.values())


def test_an_inline_figure_uses_the_colours_of_its_page() -> None:
    text = figures.inline(examples()["curves"], "loss", 'a "quoted" & <marked> description')
    assert text.startswith('<svg role="img" aria-label="a &quot;quoted&quot; &amp; &lt;marked&gt; description"')
    assert set(re.findall(r"#[0-9a-f]{6}", text)) == set()
    assert "var(--series-1)" in text
    assert set(re.findall(r"var\((--[^)]*)\)", text)) <= palette.LIGHT.variables.keys()
    identifiers = re.findall(r'\bid="([^"]*)"', text)
    assert len(identifiers) == len(set(identifiers))
    assert all(name.startswith("loss-") for name in identifiers)
    referred = re.findall(r'(?:url\(#|href="#)([^")]*)', text)
    assert set(referred) <= set(identifiers)


def test_a_small_confusion_matrix_shows_counts() -> None:
    text = figures.save(plots.confusion(np.array([[1234, 0], [7, 8]]), [0, 1]), "svg").decode()
    assert ">1,234<" in text
    assert ">7<" in text


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((28, 28), (28, 28)),
        ((28, 28, 3), (28, 28, 3)),
        ((28, 28, 2), (28, 28)),
        ((130, 65), (43, 21)),
        ((600, 2), (60, 1)),
    ],
)
def test_large_images_are_reduced(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    image = image_grids.thumbnail(np.full(shape, 255, np.uint8))
    assert image.shape == expected
    assert (image == 1).all()
    assert image_grids.data_uri(image).startswith("data:image/png;base64,")


def test_the_units_with_the_largest_weights_are_shown_if_there_are_many() -> None:
    kernel = np.ones((4, 200), np.float32) * np.arange(200)
    pictures, units = image_grids.weight_images(kernel, (2, 2))
    assert units == list(range(72, 200))
    assert pictures.shape == (128, 2, 2)
    assert image_grids.weight_images(np.ones((12, 3)), (2, 2, 3))[0].shape == (3, 2, 2)


def test_light_and_dark_pages_define_the_same_variables() -> None:
    assert palette.LIGHT.variables.keys() == palette.DARK.variables.keys()
    assert all(re.fullmatch(r"#[0-9a-f]{6}", color) for color in palette.LIGHT.variables.values())
    assert len(set(figures.FIGURE_COLORS)) == len(palette.LIGHT.series) + 3  # so that each maps to one variable


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Return the visible texts of a figure with the places where they are drawn."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    hidden = set[int]()  # labels of ticks beyond the ends of their axis, which are not drawn
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        hidden |= {id(tick.label1) for tick in ticks if not low <= tick.get_loc() <= high}
    shown = [text for text in figure.findobj(Text) if text.get_visible() and id(text) not in hidden]
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in shown if text.get_text()]


@pytest.mark.parametrize("lowest", [0.1, 0.04, 0.02, 0.005, 0.0005, 1e-6])
@pytest.mark.parametrize("best", [1, 3, 9])
def test_no_text_of_a_plot_covers_another(lowest: float, best: int) -> None:
    values = np.geomspace(2, lowest, 10).tolist()
    lines = [Line("training", values, dashed=True, best=best), Line("validation", values, best=best)]
    texts = boxes(plots.curves("loss", lines, scale="log"))
    assert f"epoch (dotted line: the best, {best})" in dict(texts)
    overlapping = [
        (one, other)
        for number, (one, box) in enumerate(texts)
        for other, second in texts[number + 1 :]
        if box.overlaps(second)
    ]
    assert overlapping == []


def test_the_histogram_below_the_reliability_curve_names_its_scale() -> None:
    assert ">images (logarithmic scale)<" in figures.save(examples()["reliability"], "svg").decode()


def test_the_reliability_diagram_shows_a_second_curve_for_calibrated_probabilities() -> None:
    plain, both = (figures.save(examples()[name], "svg").decode() for name in ("reliability", "calibrated"))
    assert ">calibrated<" in both
    assert ">calibrated<" not in plain
    (axes, _) = examples()["calibrated"].axes
    assert [np.asarray(line.get_xydata()).tolist() for line in axes.lines[1:]] == [
        [[0.6, 0.5], [0.9, 1.0]],
        [[0.55, 0.5], [0.95, 0.9]],
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("curves", "epoch 2\na: 0.1\nb: 1"),
        ("confusion", "actual 0, predicted 1: 1 images, 10.0 % of class 0"),
        ("reliability", "confidence 0.67 to 1.00: 90 images\naccuracy 1.0000, mean confidence 0.9000"),
        ("activation", "outputs from 0 to 1: 75 %"),
    ],
)
def test_a_page_shows_values_under_the_pointer_and_a_file_nothing_of_them(name: str, expected: str) -> None:
    text = figures.inline(examples()[name], "one", "")
    areas = re.findall(r'<g id="one-hover-[0-9]+"><title>([^<]*)</title>\s*<path [^>]*style="([^"]*)"', text)
    assert expected in [title for title, _ in areas]
    # An area without a fill is not under the pointer, and a visible one would cover the plot.
    assert all("fill: var(--ink); opacity: 0.001" in style for _, style in areas)
    assert "<title>" not in figures.save(examples()[name], "svg").decode()


def test_names_in_values_are_escaped() -> None:
    figure = plots.curves("loss", [Line("<b> & c", [1.0])])
    assert "&lt;b&gt; &amp; c: 1</title>" in figures.inline(figure, "one", "")


def test_dead_units_are_crossed_out_and_units_are_named() -> None:
    weights = np.random.default_rng(0).normal(size=(3, 5, 5))
    plain = image_grids.weights(weights, ["unit 0", "unit 4, dead", "unit 7"])
    crossed = image_grids.weights(weights, ["unit 0", "unit 4, dead", "unit 7"], crossed=[1])
    assert "<title>unit 4, dead</title>" in figures.inline(crossed, "weights", "")
    assert (len(plain.axes[0].lines), len(crossed.axes[0].lines)) == (0, 2)
    left, right = np.asarray(crossed.axes[0].lines[0].get_xdata(), float)
    assert 5 < left < right < 12  # the second of three tiles of 5 pixels and gaps of 1


def test_training_is_dashed_in_every_run_of_a_comparison() -> None:
    def results(name: str, **row: float) -> RunResults:
        history = [{"epoch": 1, "loss": 1.0, "learning_rate": 0.1, **row}]
        return cast("RunResults", SimpleNamespace(name=name, best=history[0], history=history))

    lines = comparison_page._lines(results("with", val_loss=2.0), "loss", 0)
    assert [(line.label, line.values, line.dashed) for line in lines] == [("with", [2.0], False), ("", [1.0], True)]
    (line,) = comparison_page._lines(results("without"), "loss", 1)
    assert (line.label, line.values, line.dashed, line.name) == ("without", [1.0], True, "without, training")
    (line,) = comparison_page._lines(results("without"), "learning_rate", 1)
    assert not line.dashed
