"""Test the figures of an explanation: for grey and coloured images, without hidden units, and for maps of zeros."""

import re
from pathlib import Path

import numpy as np
import pytest

from dnn_cli.evaluation.model_source import ModelSource
from dnn_cli.explanation.attribution import Attribution, Unit
from dnn_cli.explanation.explain import Explanation
from dnn_cli.reporting import explanation_page, explanation_plots, figures
from dnn_cli.typing import Array

RANDOM = np.random.default_rng(0)


def explanation(image: Array, *, map_scale: float = 1.0, with_units: bool = True) -> Explanation:
    def random_map() -> Array:
        values: Array = map_scale * RANDOM.normal(size=image.shape[:2])
        return values

    agreement = {"integrated_gradients": 0.875, "saliency": None}
    maps = [Attribution(2.0, 1.0, 64, random_map(), random_map(), random_map(), agreement) for _ in range(3)]
    units = [Unit(5, 0.5, -2.0, random_map()), Unit(7, 1.0, 0.25, random_map())] if with_units else []
    probabilities = np.array([0.0004, 0.25, 0.7496])
    source = ModelSource(Path("model.keras"))
    return Explanation(source, "an image", "image", None, "a note", image, probabilities, 2, 1, maps, units)


EXAMPLES = {
    "grey": explanation(RANDOM.random((6, 6))),
    "coloured": explanation(RANDOM.random((6, 5, 3))),
    "no hidden units": explanation(RANDOM.random((6, 6)), with_units=False),
    "zeros": explanation(np.zeros((6, 6)), map_scale=0.0),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_page_has_all_figures_in_the_colours_of_the_page(name: str) -> None:
    found = EXAMPLES[name]
    page = explanation_page.page(found)
    assert page.count("<svg ") == (3 if found.units else 2)
    svg = "".join(re.findall(r"<svg .*?</svg>", page, re.DOTALL))
    assert re.findall(r"#[0-9a-f]{6}\b", svg) == []
    for text in (
        ">for 2 rather than 1<",
        ">agreement with occlusion: 0.88<",
        ">agreement with occlusion: –<",
        ">75.0 %<",
    ):
        assert text in svg
    assert ">0.0 %<" not in svg
    assert (">1.00 for 1<" in svg) == bool(found.units)
    assert '<p class="warning" role="note">a note</p>' in page


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_picture_is_the_same_each_time(name: str) -> None:
    first, second = (explanation_page.picture(EXAMPLES[name]) for _ in range(2))
    assert first.startswith(b"\x89PNG")
    assert first == second


def test_a_map_is_scaled_by_a_quantile_so_that_few_pixels_do_not_pale_the_others() -> None:
    pixels = np.ones((100, 100))
    pixels[0, 0] = 1000
    assert explanation_plots._scale([pixels]) == 1
    assert explanation_plots._scale([np.zeros((2, 2))]) == 1


def test_negative_values_are_blue_and_positive_ones_vermilion() -> None:
    (blue, vermilion), (half, _) = figures.tinted(np.array([[1, 1], [0.5, 0]]), np.array([[True, False], [True, True]]))
    assert blue.tolist() == [0x00, 0x72, 0xB2, 255]
    assert vermilion.tolist() == [0xD5, 0x5E, 0x00, 255]
    assert half.tolist() == [0x00, 0x72, 0xB2, 128]
