"""A headless Chromium, spoken to in its DevTools protocol over two pipes: what a page shows, fetches and says."""

import base64
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 60  # seconds
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)


class Browser:
    """One page, and every event that was told of it.

    Attributes:
        events: ``(method, parameters)``, oldest first.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._input, self._output = os.fdopen(reading, "rb"), os.fdopen(writing, "wb")
        self._buffer, self._number, self._session = b"", 0, ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have something done; returns what it gave."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._output.write(json.dumps(message).encode() + b"\0")
        self._output.flush()
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def open(self, file: Path) -> None:
        """Load a page, and wait until all of it is there."""
        self.events.clear()
        self.call("Page.navigate", url=file.absolute().as_uri())
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            self._note(self._next())

    def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression gives."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def emulate(self, *, media: str = "screen", scheme: str = "light") -> None:
        """Show the page on ``screen`` or in ``print``, to who likes it ``light`` or ``dark``."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media=media, features=[feature])

    def resize(self, width: int, height: int = 900) -> None:
        """Make the window so many CSS pixels large."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """The window, or the whole page, as a PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])

    def close(self) -> None:
        """Hang up, which makes the browser leave."""
        self._input.close()
        self._output.close()

    def _note(self, message: dict[str, Any]) -> None:
        self.events.append((message.get("method", ""), message.get("params", {})))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._input], [], [], PATIENCE)[0], "the browser says nothing"
            more = os.read(self._input.fileno(), 1 << 20)
            assert more, "the browser is gone"
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a new profile in `folder`; it is gone afterwards."""
    assert CHROMIUM
    (its_reading, writing), (reading, its_writing) = os.pipe(), os.pipe()
    # The browser reads from descriptor 3 and writes to 4; the shell puts them there.
    script = f'exec "$@" 3<&{its_reading} 4>&{its_writing}'
    command = ["bash", "-c", script, "bash", CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}"]
    process = subprocess.Popen(
        command,
        pass_fds=(its_reading, its_writing),
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(its_reading)
    os.close(its_writing)
    page = Browser(reading, writing)
    try:
        yield page
    finally:
        page.close()
        process.kill()
        process.wait()
