"""Test the pages of `dnn report` and `dnn explain` in a browser: all pictures are shown, and nothing is loaded."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, Browser, browser
from tests.conftest import Answer
from tests.shared_runs import SharedRuns

Dnn = Callable[..., Answer]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
SIZES = """
[...document.querySelectorAll("figure svg, img")].map(each => {
  const box = each.getBoundingClientRect();
  return {
    shown: box.width > 20 && box.height > 20,
    drawn: each.tagName === "IMG" ? each.naturalWidth > 0 : each.querySelector("path, image") !== null,
    described: Boolean(each.getAttribute("alt") || each.getAttribute("aria-label")),
  };
})
"""
# The text of each area of a figure with values, and the text that a pointer at its middle shows.
UNDER_POINTER = """
[...document.querySelectorAll("figure svg g[id*='-hover-']")].map(area => {
  area.scrollIntoView({block: "center"});
  const box = area.querySelector("path").getBoundingClientRect();
  const hit = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  const text = group => group?.querySelector("title")?.textContent;
  return {title: text(area), shown: text(hit.closest("g[id*='-hover-']"))};
})
"""
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def runs(shared_runs: SharedRuns) -> list[Path]:
    """Copy two runs to the working folder."""
    options = ("--engine", "numpy", "--epochs", 2)
    layers = ("--set", "model.layers=[32]")  # another config: seeds of one are not compared with each other
    return [shared_runs.copy("runs/one", "smoke", *options), shared_runs.copy("runs/two", "smoke", *options, *layers)]


@pytest.mark.parametrize(
    ("command", "runs_used", "least_pictures"),
    [(["report"], 1, 40), (["report"], 2, 5), (["explain", "--index", 8], 1, 2)],
    ids=["run", "comparison", "explanation"],
)
def test_a_page_is_complete_in_every_view(
    command: list[object], runs_used: int, least_pictures: int, runs: list[Path], chromium: Browser, dnn: Dnn
) -> None:
    assert dnn(*command, *runs[:runs_used], "--out", "page.html").code == 0
    page = Path("page.html")
    views = []
    for width, media, scheme in ((1200, "screen", "light"), (1200, "screen", "dark"), (400, "screen", "light")):
        chromium.resize(width)
        chromium.emulate(media=media, scheme=scheme)
        chromium.open(page)
        sizes = chromium.evaluate(SIZES)
        assert len(sizes) > least_pictures
        assert [size for size in sizes if not all(size.values())] == []
        assert chromium.evaluate("document.documentElement.scrollWidth <= innerWidth")
        views.append((chromium.evaluate(BACKGROUND), chromium.screenshot()))
        assert [url for url in requested(chromium) if url != page.absolute().as_uri()] == []
        assert console_messages(chromium) == []
    assert [background for background, _ in views] == ["rgb(255, 255, 255)", "rgb(20, 23, 27)", "rgb(255, 255, 255)"]
    assert len({screenshot for _, screenshot in views}) == 3
    chromium.emulate(media="print", scheme="dark")
    assert chromium.evaluate(BACKGROUND) == "rgb(255, 255, 255)"
    assert chromium.pdf().startswith(b"%PDF")


def test_values_are_under_the_pointer(chromium: Browser, runs: list[Path], dnn: Dnn) -> None:
    assert dnn("report", runs[0], "--out", "page.html").code == 0
    chromium.emulate()
    chromium.open(Path("page.html"))
    found = chromium.evaluate(UNDER_POINTER)
    assert [area for area in found if area["title"] != area["shown"]] == []
    texts = [area["title"] for area in found]
    assert sum(text.startswith("actual 1, predicted 1: ") for text in texts) == 1
    assert sum(text.startswith("epoch 2\nlearning rate: 0.002") for text in texts) == 1


def test_the_browser_loads_nothing_else(chromium: Browser, runs: list[Path], dnn: Dnn) -> None:
    """A picture in another file is not loaded, and the checks of the other test would report it."""
    assert dnn("report", runs[0], "--out", "page.html").code == 0
    page = Path("page.html")
    Path("other.png").write_bytes(b"")
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", '<img src="other.png" alt="other"></body>'))
    chromium.emulate()
    chromium.open(page)
    assert [size for size in chromium.evaluate(SIZES) if not size["drawn"]]
    assert any("Content Security Policy" in text for text in console_messages(chromium))


def requested(chromium: Browser) -> list[str]:
    """Return the URLs that the page requested, without data URIs."""
    urls = [
        parameters["request"]["url"] for method, parameters in chromium.events if method == "Network.requestWillBeSent"
    ]
    return [url for url in urls if not url.startswith("data:")]


def console_messages(chromium: Browser) -> list[str]:
    """Return all messages on the browser's console."""
    logged = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
    return [str(parameters) for method, parameters in chromium.events if method in logged]
