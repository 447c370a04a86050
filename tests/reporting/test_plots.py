"""Test the plots of a report and their output: reproducible bytes, colours of the page, sizes of the data."""

import re

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from dnn_cli.reporting import figures, image_grids, palette, plots
from dnn_cli.reporting.plots import Line
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
