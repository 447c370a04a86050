"""Test the page in a browser, against a real server: mouse, keyboard, pictures, models, and what it requests."""

import base64
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, Browser, browser
from tests.conftest import command
from tests.serving.conftest import DIGITS, seven
from tests.shared_runs import SharedRuns

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
TEXT = "document.getElementById('answer').textContent"
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
LOGGED = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
DROP = """
(event, content) => {
  const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], "seven.png", {type: "image/png"}));
  const init = {bubbles: true, cancelable: true};
  document.dispatchEvent(event === "paste"
    ? new ClipboardEvent(event, {...init, clipboardData: files})
    : new DragEvent(event, {...init, dataTransfer: files}));
}
"""


@pytest.fixture(scope="module")
def address(
    digits: Path, shared_runs: SharedRuns, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path, str]]:
    """Serve two runs; return the address, the folder of labelled drawings and the name of the second run."""
    other = shared_runs.path(DIGITS.replace("seed: 3", "seed: 4"))
    drawings = tmp_path_factory.mktemp("served") / "drawings"
    words = command("serve", digits, other, "--port", 0, "--collect", drawings)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=drawings.parent) as server:
        assert server.stdout
        found = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
        assert found
        yield found[0], drawings, other.name
        server.terminate()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def page(chromium: Browser, address: tuple[str, Path, str]) -> Iterator[Browser]:
    """Open the page; afterwards its console must be empty, and all requests must have gone to the server."""
    chromium.resize(1000)
    chromium.emulate()
    chromium.open(address[0] + "/")
    wait(chromium, "state.models.length === 2")
    yield chromium
    assert [parameters for method, parameters in chromium.events if method in LOGGED] == []
    urls = [each["request"]["url"] for method, each in chromium.events if method == "Network.requestWillBeSent"]
    assert {url for url in urls if not url.startswith((address[0], "data:", "blob:"))} == set()
    assert len(urls) > 3


def wait(page: Browser, condition: str) -> None:
    """Wait until a JavaScript expression is true."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        time.sleep(0.05)
    raise AssertionError(f"{condition} is not true: {page.evaluate('document.body.innerText')}")


def draw(page: Browser, points: list[tuple[float, float]]) -> None:
    """Draw a line with the mouse, through points in shares of the paper's side."""
    left, top, side = page.evaluate(
        "(area => [area.x, area.y, area.width])(document.getElementById('paper').getBoundingClientRect())"
    )

    def mouse(kind: str, x: float, y: float) -> None:
        where = {"x": left + x * side, "y": top + y * side}
        page.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **where)

    mouse("mousePressed", *points[0])
    for (x, y), (to_x, to_y) in pairwise(points):
        for step in range(1, 7):
            mouse("mouseMoved", x + (to_x - x) * step / 6, y + (to_y - y) * step / 6)
    mouse("mouseReleased", *points[-1])


def press(page: Browser, *keys: str) -> None:
    """Press keys one after the other."""
    for key in keys:
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            page.call("Input.dispatchKeyEvent", type=kind, key=key, code="Space" if key == " " else key, **text)


def probability(page: Browser) -> float:
    """Return the probability of 7 after the last question was answered."""
    wait(page, "!state.isAsking && state.found !== null")
    (one,) = page.evaluate("state.found.images")
    return float(one["probabilities"][7])


def test_a_drawn_seven_is_read(page: Browser) -> None:
    draw(page, SEVEN)
    assert probability(page) >= 0.9
    assert re.match(r"7 probability (> )?9\d\.\d %$", page.evaluate(TEXT))
    assert page.evaluate("document.querySelector('#bars .best').textContent").startswith("7")
    assert page.evaluate("document.querySelectorAll('#bars li').length") == 10
    assert page.evaluate("[element('seen').width, element('seen').height]") == [28, 28]


def test_a_second_line_undo_and_clear(page: Browser) -> None:
    draw(page, SEVEN)
    draw(page, [(0.4, 0.55), (0.7, 0.55)])
    wait(page, "!state.isAsking")
    assert page.evaluate("state.lines.length") == 2
    page.evaluate("element('undo').click()")
    assert probability(page) >= 0.9
    page.evaluate("element('clear').click()")
    wait(page, "!state.isAsking")
    assert page.evaluate(TEXT) == "The answer appears here."


def test_several_digits_are_answered_one_by_one(page: Browser) -> None:
    draw(page, [(0.2, 0.3), (0.2, 0.7)])
    draw(page, [(0.5 + x / 2, y) for x, y in SEVEN])
    wait(page, "!state.isAsking && state.found?.images.length === 2")
    assert page.evaluate("[...element('digits').children].map(each => each.textContent)") == ["1", "7"]
    assert page.evaluate("element('answer').textContent").startswith("1 7 chosen: 1, probability ")
    page.evaluate("element('digits').children[1].click()")
    assert page.evaluate("element('answer').textContent").startswith("1 7 chosen: 7, probability ")
    assert page.evaluate("document.querySelector('#bars .best').textContent").startswith("7")


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_a_picture_is_read(page: Browser, event: str) -> None:
    content = base64.b64encode(seven("darkblue", "lightyellow")).decode()
    page.evaluate(f"({DROP})({event!r}, {content!r})")
    wait(page, "state.picture !== null")
    assert probability(page) >= 0.9
    draw(page, [(0.1, 0.9), (0.9, 0.9)])  # a drawing over the picture is a new picture
    wait(page, "!state.isAsking && state.lines.length === 1")


def test_what_is_no_picture_is_reported(page: Browser) -> None:
    page.evaluate(f"({DROP})('paste', {base64.b64encode(b'no picture').decode()!r})")
    wait(page, "element('problem').textContent === 'This is no picture.'")


def test_a_dot_is_answered_without_an_error_on_the_console(page: Browser) -> None:
    draw(page, [(0.5, 0.5), (0.5, 0.5)])
    wait(page, "!state.isAsking")


def test_the_keyboard_alone_is_enough(page: Browser, address: tuple[str, Path, str]) -> None:
    page.evaluate("document.activeElement.blur()")
    visited: list[str] = []
    while not visited or visited[-1] != "paper":
        press(page, "Tab")
        visited.append(page.evaluate("document.activeElement.id"))
        assert len(visited) < 5
    assert visited == ["model", "paper"]
    press(page, *["ArrowLeft"] * 6, *["ArrowUp"] * 7, " ", *["ArrowRight"] * 11)
    press(page, *["ArrowDown", "ArrowDown", "ArrowLeft"] * 7)
    assert page.evaluate("element('pen').textContent") == "Pen down"
    press(page, " ")
    assert page.evaluate("element('pen').textContent") == "Pen up"
    assert probability(page) >= 0.9
    following = []
    for _ in range(6):
        press(page, "Tab")
        following.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert following == ["undo", "clear", "file", "why", "label", "Keep"]
    page.evaluate("element('why').focus()")
    press(page, " ")
    wait(page, "state.found.images[0].why")
    page.evaluate("element('paper').focus()")
    press(page, "Delete")
    wait(page, f"{TEXT} === 'The answer appears here.'")


def test_why_shows_the_gradients(page: Browser) -> None:
    draw(page, SEVEN)
    assert probability(page) >= 0.9
    before = page.evaluate("element('seen').toDataURL()")
    page.evaluate("element('why').click()")
    wait(page, "element('caption').textContent === 'Orange speaks for 7, blue against it'")
    assert page.evaluate("element('seen').toDataURL()") != before


def test_another_model_is_asked(page: Browser, address: tuple[str, Path, str]) -> None:
    draw(page, SEVEN)
    first = probability(page)
    page.evaluate(f"element('model').value = {address[2]!r}; element('model').dispatchEvent(new Event('change'))")
    wait(page, f"!state.isAsking && state.found.model === {address[2]!r}")
    assert probability(page) != first


def test_a_labelled_drawing_is_kept(page: Browser, address: tuple[str, Path, str]) -> None:
    draw(page, SEVEN)
    assert probability(page) >= 0.9
    page.evaluate("element('label').value = '4'; element('correction').requestSubmit()")
    wait(page, "element('kept').textContent === 'Kept as 4.'")
    (kept,) = address[1].rglob("*.*")
    assert kept.parent.name == "4"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1000])
def test_nothing_is_cut_off(page: Browser, scheme: str, width: int) -> None:
    page.resize(width)
    page.emulate(scheme=scheme)
    draw(page, SEVEN)
    assert probability(page) >= 0.9
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
    assert dark == (scheme == "dark")
    names = page.evaluate(
        "[...document.querySelectorAll('button, select, input, canvas:not([aria-hidden])')]"
        ".filter(each => !(each.ariaLabel || each.textContent || each.labels?.length)).map(each => each.outerHTML)"
    )
    assert names == []


def test_the_token_is_asked_for(
    chromium: Browser,
    digits: Path,
    start: Callable[..., "subprocess.Popen[str]"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DNN_SERVE_TOKEN", "s3cret")
    server = start("serve", digits, "--port", 0)
    assert server.stdout
    chromium.resize(1000)
    chromium.open(server.stdout.readline().strip().rpartition(" ")[2] + "/")
    wait(chromium, "!element('token-form').hidden")
    assert chromium.evaluate("element('problem').textContent") == "This server needs a token."
    chromium.evaluate("element('token').value = 's3cret'; element('token-form').requestSubmit()")
    wait(chromium, "state.models.length === 1")
    draw(chromium, SEVEN)
    assert probability(chromium) >= 0.9


def test_the_list_of_the_interfaces(page: Browser, address: tuple[str, Path, str]) -> None:
    page.open(address[0] + "/docs")
    headings = page.evaluate("[...document.querySelectorAll('h2')].map(each => each.textContent)")
    assert "POST /v1/models/{name}:predict" in headings
    assert "POST /v2/models/{name}/infer" in headings
    assert "POST /predict" in headings
    page.open(address[0] + "/")
    wait(page, "state.models.length === 2")
