"""A real headless Chromium, spoken to over the pipe of its DevTools protocol: no driver and no websocket is needed.

Source: https://chromedevtools.github.io/devtools-protocol/; with `--remote-debugging-pipe` messages are JSON, each with a zero byte behind,
on the descriptors 3 (to the browser) and 4 (from it).
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 60.0
KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, "")}
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)


@define(eq=False)
class Tab:
    """One page. problems: console errors, exceptions and requests that failed. asked: every address that it has asked for."""

    to_browser: int
    from_browser: int
    session: str = ""
    problems: list[str] = field(factory=list)
    asked: list[str] = field(factory=list)
    _number: int = 0
    _rest: bytes = b""

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Have the browser do something, and wait until it has."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + SECONDS
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < deadline, f"{condition} is not so; the page: {self.run('document.body.innerText')}"
            self.run("new Promise((done) => setTimeout(done, 30))")

    def text(self, selector: str) -> str:
        """What a part of the page shows."""
        shown: str = self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        return shown

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        code, text = KEYS[key]
        more = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def choose(self, selector: str, path: Path) -> None:
        """Choose a file, as a person does in the dialog."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def show_as(self, *, width: int, height: int, dark: bool) -> None:
        """Show the page on a screen of this size, or a phone, to somebody who likes it dark or light."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def look(self, path: Path) -> None:
        """Save what a person would see."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self.from_browser], [], [], SECONDS)
            assert ready, "the browser says nothing"
            piece = os.read(self.from_browser, 1 << 20)
            assert piece, "the browser has gone"
            self._rest += piece
        text, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.problems.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(str(params["entry"]))
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])


@contextmanager
def browser(folder: Path, url: str) -> Iterator[Tab]:
    """A page that is open at an address. folder: for the browser's profile."""
    assert BROWSER is not None
    (their_in, to_browser), (from_browser, their_out) = os.pipe(), os.pipe()

    def place_pipes() -> None:
        high_in, high_out = os.dup(their_in), os.dup(their_out)  # neither is 3 or 4: these are in use here
        os.dup2(high_in, 3)
        os.dup2(high_out, 4)

    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(3, 4),
        preexec_fn=place_pipes,  # noqa: PLW1509  it only duplicates descriptors
    )
    os.close(their_in)
    os.close(their_out)
    try:
        tab = Tab(to_browser, from_browser)
        target = tab.call("Target.createTarget", url="about:blank")["targetId"]
        tab.session = tab.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            tab.call(f"{domain}.enable")
        tab.show_as(width=1200, height=900, dark=False)
        tab.call("Page.navigate", url=url)
        tab.wait("document.readyState === 'complete'")
        yield tab
    finally:
        process.kill()
        process.wait()
        os.close(to_browser)
        os.close(from_browser)
