"""Debian's Chromium, headless, spoken to over a pipe.

Chromium's own protocol (https://chromedevtools.github.io/devtools-protocol/) over two pipes needs
no package. Screenshots go to the folder that TENFOLD_SCREENSHOTS names, if it does.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Chromium reads its commands from descriptor 3 and answers on 4; Popen cannot say so by itself.
LAUNCH = """
import os, sys
reading, writing, *command = sys.argv[1:]
copies = os.dup(int(reading)), os.dup(int(writing))
high = [os.dup2(copy, 60 + place) for place, copy in enumerate(copies)]
for place, descriptor in enumerate(high):
    os.dup2(descriptor, 3 + place)
os.execvp(command[0], command)
"""
FLAGS = (
    "--headless",
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Browser:
    """One Chromium with one tab."""

    def __init__(self, program: str, profile: str) -> None:
        child_reads, self._writing = os.pipe()
        self._reading, child_writes = os.pipe()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-S", "-c", LAUNCH, str(child_reads), str(child_writes)),
                *(program, *FLAGS, f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=(child_reads, child_writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(child_reads)
        os.close(child_writes)
        self._number = 0
        self._rest = b""
        self.events: list[dict[str, Any]] = []
        self.session: str | None = None
        target = next(
            one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"
        )
        self.session = self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and give its result; what else is heard goes to `events`."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._writing, data) :]
        while True:
            heard = self._hear()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard["error"]
                return dict(heard["result"])
            self.events.append(heard)

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._reading, 1 << 20)
            assert part, "the browser ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def evaluate(self, expression: str) -> Any:
        """Give the value of an expression in the page, awaited."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 20) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < end, f"never: {expression}"
            time.sleep(0.03)

    def open(self, address: str) -> None:
        self.events.clear()
        self.call("Page.navigate", url=address)
        self.wait_for(f"document.readyState == 'complete' && location.href.startsWith('{address}')")

    def show_as(self, *, width: int = 1000, height: int = 1400, scheme: str = "light") -> None:
        is_phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=is_phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=is_phone)
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def choose(self, *files: Path) -> None:
        """Give files to the page's field, as a person who chose them."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        field = self.call("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=field, files=[str(file) for file in files])

    def press(self, key: str, code: int) -> None:
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else None)
        extra = {} if text is None else {"text": text}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **(extra if kind == "keyDown" else {}),
            )

    def picture(self, name: str) -> None:
        folder = os.environ.get("TENFOLD_SCREENSHOTS")
        content = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        assert len(content) > 5000
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(content))

    def complaints(self) -> list[str]:
        """Give what the browser complained about: errors, refused contents, requests elsewhere."""
        self.evaluate("1")
        found = []
        for event in self.events:
            if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                found.append(json.dumps(event["params"])[:300])
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if not url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:")):
                    found.append(url)
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._writing)
        os.close(self._reading)
