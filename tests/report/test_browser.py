"""The pages of `dnn report` in a real browser: every picture is there, nothing is fetched, nothing is complained of."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dnn_cli.__main__ import run as main
from tests.browser import CHROMIUM, Browser, browser
from tests.conftest import Answer

Dnn = Callable[..., Answer]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
SIZES = """
[...document.querySelectorAll("figure svg, img")].map(each => {
  const box = each.getBoundingClientRect();
  return {
    shown: box.width > 20 && box.height > 20,
    drawn: each.tagName === "IMG" ? each.naturalWidth > 0 : each.querySelector("path, image") !== null,
    told: Boolean(each.getAttribute("alt") || each.getAttribute("aria-label")),
  };
})
"""
PLATE = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = [folder / "one", folder / "other"]
    for seed, run in enumerate(made):
        command = ["train", "-c", "smoke", "--engine", "numpy", "--seed", seed, "--run-dir", run, "-q", "--epochs", 2]
        assert main(list(map(str, command))) == 0
    return made


@pytest.mark.parametrize("count", [1, 2])
def test_a_page_is_whole_by_itself(count: int, runs: list[Path], chromium: Browser, dnn: Dnn) -> None:
    assert dnn("report", *runs[:count], "--out", "page.html").code == 0
    page = Path("page.html")
    shots = []
    for width, media, scheme in ((1200, "screen", "light"), (1200, "screen", "dark"), (400, "screen", "light")):
        chromium.resize(width)
        chromium.emulate(media=media, scheme=scheme)
        chromium.open(page)
        sizes = chromium.evaluate(SIZES)
        assert len(sizes) > (40 if count == 1 else 5)
        assert [size for size in sizes if not all(size.values())] == []
        assert chromium.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shots.append((chromium.evaluate(PLATE), chromium.screenshot()))
        assert [url for url in requested(chromium) if url != page.absolute().as_uri()] == []
        assert complaints(chromium) == []
    assert [plate for plate, _ in shots] == ["rgb(255, 255, 255)", "rgb(20, 23, 27)", "rgb(255, 255, 255)"]
    assert len({shot for _, shot in shots}) == 3
    chromium.emulate(media="print", scheme="dark")
    assert chromium.evaluate(PLATE) == "rgb(255, 255, 255)"
    assert chromium.pdf().startswith(b"%PDF")


def test_whatever_a_page_might_fetch_is_refused(chromium: Browser, runs: list[Path], dnn: Dnn) -> None:
    """The checks above can fail: a picture from elsewhere is neither loaded nor passed over in silence."""
    assert dnn("report", runs[0], "--out", "page.html").code == 0
    page = Path("page.html")
    Path("other.png").write_bytes(b"")
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", '<img src="other.png" alt="other"></body>'))
    chromium.emulate()
    chromium.open(page)
    assert [size for size in chromium.evaluate(SIZES) if not size["drawn"]]
    assert any("Content Security Policy" in text for text in complaints(chromium))


def requested(chromium: Browser) -> list[str]:
    """The addresses that were asked for, but for those that hold what they name."""
    urls = [about["request"]["url"] for method, about in chromium.events if method == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith("data:")]


def complaints(chromium: Browser) -> list[str]:
    """Everything on the console, whoever put it there."""
    logged = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
    return [str(about) for method, about in chromium.events if method in logged]
