"""Test the page that needs no server: its own preparation of a drawing against the server's, and in a browser."""

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dnn_cli.data import image_files
from dnn_cli.data.digit_normalization import DigitImage
from dnn_cli.errors import DataError
from dnn_cli.evaluation import model_source
from dnn_cli.serving import page
from tests.browser import CHROMIUM, Browser, browser
from tests.conftest import Answer
from tests.serving.conftest import encoded
from tests.serving.test_page import LOGGED, SEVEN, TEXT, draw, probability, wait

PROGRAM = """
const { readFileSync, writeFileSync } = require("node:fs");
const { prepare } = require(process.argv[1]);
const bytes = readFileSync(process.argv[2]);
const sides = JSON.parse(process.argv[4]);
let place = 0;
const images = sides.map(side => {
  const drawing = bytes.subarray(place, place += side * side);
  return prepare(drawing, side, side);
});
writeFileSync(process.argv[3], Buffer.concat(images));
"""


def drawing(random: np.random.Generator, side: int) -> Image.Image:
    """Return a drawing of one to three lines with a round pen, as the page makes it."""
    large = Image.new("L", (2 * side, 2 * side), 255)
    pen, canvas = round(0.075 * 2 * side), ImageDraw.Draw(large)
    centre, spread = random.uniform(0.4, 0.6, 2), random.uniform(0.15, 0.3)
    for _ in range(random.integers(1, 4)):
        points = (centre + random.uniform(-spread, spread, (random.integers(2, 6), 2))) * 2 * side
        canvas.line([tuple(point) for point in points], 17, pen, "curve")
        for x, y in points:
            canvas.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], 17)
    return large.resize((side, side), Image.Resampling.BOX)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node: apt-get install nodejs")
@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.long)])
def test_drawings_are_prepared_as_the_server_prepares_them(count: int, digits: Path) -> None:
    random = np.random.default_rng(0)
    sides = [560 if number % 40 == 0 else 224 if number % 4 == 0 else 120 for number in range(count)]
    drawings = [drawing(random, side) for side in sides]
    found_digits = [prepared(encoded(one)) for one in drawings]
    # The page reads one digit. What the server takes for several, or doubts, is another matter.
    chosen = [index for index, seen in enumerate(found_digits) if len(seen) == 1 and not seen[0].doubt]
    assert len(chosen) > 0.85 * count
    expected = np.stack([found_digits[index][0].image for index in chosen])
    Path("drawings").write_bytes(b"".join(one.tobytes() for one in drawings))
    script = Path(page.__file__).parent / "static" / "local.js"
    subprocess.run(["node", "-e", PROGRAM, script, "drawings", "found", json.dumps(sides)], check=True)
    found = np.fromfile("found", np.uint8).reshape(-1, 28, 28)[chosen]
    is_same = np.abs(found.astype(int) - expected).max(axis=(1, 2)) <= 2
    assert (~is_same).sum() <= max(1, 0.01 * count)
    file = model_source.find_model(digits).file
    ours, theirs = (model_source.probabilities(file, images, engine="numpy") for images in (found, expected))
    np.testing.assert_allclose(ours[is_same], theirs[is_same], atol=0.03)


def prepared(content: bytes) -> list[DigitImage]:
    """Return the digits that the server finds; none if it finds none."""
    try:
        return image_files.read(io.BytesIO(content))
    except DataError:
        return []


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def alone(chromium: Browser, digits: Path, dnn: Callable[..., Answer]) -> Iterator[Browser]:
    """Open the page from its file; afterwards its console must be empty, and it must have requested nothing."""
    assert dnn("serve", digits, "--static", "digits.html") == Answer(0, "digits.html\n", "")
    chromium.resize(1000)
    chromium.open(Path("digits.html"))
    wait(chromium, "state.models.length === 1")
    yield chromium
    assert [parameters for method, parameters in chromium.events if method in LOGGED] == []
    urls = [each["request"]["url"] for method, each in chromium.events if method == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith(("data:", "blob:"))] == [Path("digits.html").absolute().as_uri()]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_a_seven_is_read_without_a_server(alone: Browser, digits: Path) -> None:
    draw(alone, SEVEN)
    assert probability(alone) >= 0.9
    assert alone.evaluate(TEXT).startswith("7 probability ")
    assert alone.evaluate("element('choice').hidden && element('correction').hidden")
    pixels = np.array(alone.evaluate("state.found.images[0].pixels"), np.uint8)
    shown = io.BytesIO(base64.b64decode(alone.evaluate("paper.toDataURL().split(',')[1]")))
    assert np.abs(pixels.astype(int) - prepared(shown.getvalue())[0].image).max() <= 2
    expected = model_source.probabilities(model_source.find_model(digits).file, pixels[None], engine="numpy")
    np.testing.assert_allclose(alone.evaluate("state.found.images[0].probabilities"), expected[0], atol=1e-5)
    alone.evaluate("element('clear').click()")
    wait(alone, f"{TEXT} === 'The answer appears here.'")


def test_the_page_is_not_written_over_another_file_or_for_several_runs(
    digits: Path, dnn: Callable[..., Answer]
) -> None:
    answer = dnn("serve", digits, "--static", "digits.txt")
    assert answer == Answer(2, "", "error: --static digits.txt: the name must end in .html\n")
    answer = dnn("serve", digits, digits, "--static", "digits.html")
    assert answer.code == 2
    assert "--static takes one RUN" in answer.stderr
    assert list(Path().iterdir()) == []


def test_a_network_that_takes_no_drawings_gets_no_page(dnn: Callable[..., Answer]) -> None:
    config = Path("wide.yaml")
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (8, 3, 4), np.uint8), np.arange(8) % 2
    np.savez("wide.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    config.write_text(
        "engine: numpy\ndata: {dataset: wide.npz}\nmodel: {layers: [2]}\ntraining: {epochs: 1, batch_size: 4}\n"
    )
    assert dnn("train", "-c", config, "--run-dir", "wide", "-q").code == 0
    answer = dnn("serve", "wide", "--static", "wide.html")
    assert answer.code == 1
    assert "needs images of 3×4, but image files are converted to grey square ones" in answer.stderr
