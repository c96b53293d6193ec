"""A real Chromium without a window, steered by its DevTools protocol over a websocket."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from websockets.sync.client import connect

#: Names of the browser in Debian and elsewhere.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: WebGL by the processor; nothing is fetched but the page, and names of other hosts lead nowhere.
OPTIONS = (
    "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars",
    "--remote-debugging-port=0", "--remote-allow-origins=*", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-extensions", "--disable-dev-shm-usage", "--mute-audio",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


def chromium() -> str | None:
    """Path of the browser, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser process of its own; a context manager.

    Attributes:
        requests: addresses that the page asked for.
        complaints: what it wrote to its console as warnings and errors.
    """

    def __init__(self, address: str, width: int = 800, height: int = 600) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        size = f"--window-size={width},{height}"
        command = [chromium(), *OPTIONS, size, f"--user-data-dir={self._folder.name}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._numbers = itertools.count(1)
        try:
            self._socket = connect(self._target(), max_size=None, open_timeout=60, proxy=None)
            for domain in ("Page", "Network", "Runtime"):
                self.call(f"{domain}.enable")
            screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            self.call("Emulation.setDeviceMetricsOverride", **screen)
            self.call("Page.navigate", url=address)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the browser with all its processes."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def call(self, method: str, timeout_s: float = 60.0, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol; returns its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        deadline_s = time.monotonic() + timeout_s
        while True:
            answer = json.loads(self._socket.recv(max(deadline_s - time.monotonic(), 0.1)))
            self._note(answer)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def run(self, script: str) -> Any:
        """The value of an expression on the page."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def picture(self, of_canvas: bool = False) -> np.ndarray:
        """What the page looks like: uint8 [H, W, 3] BGR; ``of_canvas`` without side bar and notices."""
        if of_canvas:
            self.run(
                "document.body.style.visibility = 'hidden';"
                "document.querySelectorAll('canvas').forEach(canvas => canvas.style.visibility = 'visible')"
            )
        data = self.call("Page.captureScreenshot", format="png")["data"]
        return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)

    def _target(self) -> str:
        """The websocket's address of the first page."""
        from urllib.request import urlopen

        port_file = Path(self._folder.name, "DevToolsActivePort")
        deadline_s = time.monotonic() + 60.0
        while not (port_file.is_file() and port_file.read_text().strip()):
            assert self._process.poll() is None and time.monotonic() < deadline_s, "the browser does not start"
            time.sleep(0.05)
        port = port_file.read_text().split()[0]
        while True:
            with urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
                pages = [target for target in json.load(answer) if target["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]
            time.sleep(0.05)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(event["params"]["request"]["url"])
        elif event.get("method") == "Network.webSocketCreated":
            self.requests.append(event["params"]["url"])
        elif event.get("method") == "Runtime.consoleAPICalled" and event["params"]["type"] in ("warning", "error"):
            self.complaints.append(str([part.get("value") for part in event["params"]["args"]]))
        elif event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(event["params"]["exceptionDetails"].get("text", ""))
