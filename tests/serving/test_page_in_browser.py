"""The page in a real browser: Debian's Chromium, headless, spoken to over a pipe.

Chromium's own protocol (https://chromedevtools.github.io/devtools-protocol/) over two pipes needs
no package. Screenshots go to the folder that TENFOLD_SCREENSHOTS names, if it does.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.browser

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
        text = {"Enter": "\r"}.get(key)
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


@pytest.fixture(scope="module")
def browser_process() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    profile = tempfile.mkdtemp()
    browser = Browser(program, profile)
    yield browser
    browser.close()
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
def browser(browser_process: Browser) -> Browser:
    browser_process.show_as()
    return browser_process


@pytest.fixture
def pictures(tmp_path: Path, make_png: Callable[..., bytes]) -> list[Path]:
    """Give a photo-like image, a small one, and a file that is none."""
    x, y = np.meshgrid(np.linspace(0, 255, 400), np.linspace(0, 255, 300))
    photo = np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)
    files = [tmp_path / name for name in ("sunset.jpg", "tiny.png", "notes.png")]
    files[0].write_bytes(make_png(photo, "JPEG"))
    files[1].write_bytes(make_png(seed=3))
    files[2].write_bytes(b"these are notes")
    return files


FINISHED = "document.querySelectorAll('.result h2 .sure').length == {count}"
ABOUT = "document.querySelector('{selector}').textContent"


def test_chosen_images_get_their_bars(
    browser: Browser, start_server: Any, onnx_file: Path, pictures: list[Path]
) -> None:
    server = start_server(str(onnx_file))
    browser.open(server.address)
    browser.picture("empty-light")
    browser.choose(*pictures)
    browser.wait_for("document.querySelector('#status').textContent.startsWith('3 images')")
    assert browser.evaluate(ABOUT.format(selector="#status")) == (
        "3 images, 1 could not be classified"
    )
    first = server.ask(
        "POST", "/api/predict", pictures[0].read_bytes(), {"content-type": "image/jpeg"}
    ).json["results"][0]
    assert browser.evaluate(ABOUT.format(selector=".result h2")).startswith(first["class"])
    bars = browser.evaluate(
        "[...document.querySelectorAll('.result:first-child .bars li')].map(item => "
        "[item.querySelector('.label').textContent, item.querySelector('.fill').style.width])"
    )
    assert [name for name, _ in bars] == [one["class"] for one in first["top"]]
    widths = [float(width.rstrip("%")) for _, width in bars]
    assert widths == pytest.approx([100 * one["probability"] for one in first["top"]], abs=0.01)
    assert browser.evaluate("document.querySelector('.result:last-child h2').textContent") == (
        "Not classified"
    )
    problem = browser.evaluate("document.querySelector('.result:last-child .problem').textContent")
    assert problem.startswith("The image cannot be read: not an image of a known format")
    browser.picture("results-light")
    browser.show_as(scheme="dark")
    browser.picture("results-dark")
    browser.show_as(width=390, height=1400, scheme="light")
    browser.picture("results-phone")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    # The one answer with a status of 422 is logged by the browser itself.
    assert [text for text in browser.complaints() if "status of 422" not in text] == []


def test_reasons_are_shown(  # noqa: PLR0917 -- pytest passes them by name
    browser: Browser,
    start_server: Any,
    tiny_settings: Any,
    image_folder: Path,
    pictures: list[Path],
    tmp_path: Path,
) -> None:
    from tenfold.study.study import Study

    list(Study(tiny_settings(), tmp_path / "run").run("model"))
    browser.open(start_server(str(tmp_path / "run")).address)
    browser.choose(image_folder / "dark" / "00.png", pictures[0])
    browser.wait_for("document.querySelectorAll('.reasons:not([hidden])').length == 2")
    browser.wait_for(
        "[...document.querySelectorAll('.reasons img')].every((image) => image.naturalWidth > 0)"
    )
    shown = browser.evaluate(
        "[...document.querySelector('.reasons').querySelectorAll('img')].map((image) => image.alt)"
    )
    assert shown[0] == "What the network saw"
    assert shown[1].startswith("Heat map: what speaks for ")
    assert len(shown) == 6
    assert browser.evaluate("document.querySelector('.alike .row span').textContent") == "1.00"
    browser.picture("reasons-light")
    browser.show_as(width=390, height=1400, scheme="dark")
    browser.picture("reasons-phone-dark")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    assert browser.complaints() == []


def test_many_images_are_explained_when_asked(
    browser: Browser, start_server: Any, tiny_settings: Any, image_folder: Path, tmp_path: Path
) -> None:
    from tenfold.study.study import Study

    list(Study(tiny_settings(), tmp_path / "run").run("model"))
    browser.open(start_server(str(tmp_path / "run")).address)
    browser.choose(*sorted((image_folder / "dark").iterdir())[:6])
    browser.wait_for("document.querySelectorAll('.ask:not([hidden])').length == 6")
    assert browser.evaluate("document.querySelectorAll('.reasons:not([hidden])').length") == 0
    browser.evaluate("document.querySelectorAll('.ask')[2].focus()")
    browser.press("Enter", 13)
    browser.wait_for("document.querySelectorAll('.reasons:not([hidden])').length == 1")
    assert browser.evaluate("document.querySelectorAll('.ask:not([hidden])').length") == 5


def test_pasted_and_dropped_images(
    browser: Browser, start_server: Any, onnx_file: Path, pictures: list[Path]
) -> None:
    browser.open(start_server(str(onnx_file)).address)
    content = base64.b64encode(pictures[1].read_bytes()).decode()
    for kind, name in (("ClipboardEvent", "paste"), ("DragEvent", "drop")):
        carrier = "clipboardData" if name == "paste" else "dataTransfer"
        browser.evaluate(
            f"""(async () => {{
              const data = new DataTransfer();
              const bytes = Uint8Array.from(atob('{content}'), (one) => one.charCodeAt(0));
              data.items.add(new File([bytes], '{name}.png', {{ type: 'image/png' }}));
              document.body.dispatchEvent(new {kind}('{name}',
                {{ {carrier}: data, bubbles: true, cancelable: true }}));
            }})()"""
        )
    browser.wait_for(FINISHED.format(count=2))
    names = browser.evaluate("[...document.querySelectorAll('.name')].map(one => one.textContent)")
    assert names == ["drop.png", "paste.png"]
    assert browser.evaluate("document.querySelectorAll('.picture img.tiny').length") == 2
    assert browser.complaints() == []


def test_by_keyboard_alone(
    browser: Browser, start_server: Any, onnx_file: Path, pictures: list[Path]
) -> None:
    browser.open(start_server(str(onnx_file)).address)
    browser.choose(pictures[1])
    browser.wait_for(FINISHED.format(count=1))
    browser.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    visited = []
    for _ in range(8):
        browser.press("Tab", 9)
        visited.append(
            browser.evaluate(
                "(document.activeElement.id || document.activeElement.className "
                "|| document.activeElement.tagName)"
            )
        )
    for wanted in ("skip", "files", "clear", "SUMMARY"):
        assert wanted in visited, visited
    outline = browser.evaluate(
        "(document.querySelector('#files').focus(), "
        "getComputedStyle(document.querySelector('#drop')).outlineStyle)"
    )
    assert outline == "solid"
    browser.evaluate("document.querySelector('#clear').focus()")
    browser.press("Enter", 13)
    browser.wait_for("document.querySelectorAll('.result').length == 0")
    assert browser.evaluate("document.activeElement.id") == "files"


def test_a_token_is_asked_for(
    browser: Browser, start_server: Any, onnx_file: Path, pictures: list[Path]
) -> None:
    server = start_server(str(onnx_file), environment={"TENFOLD_TOKEN": "open sesame"})
    browser.open(server.address)
    assert browser.evaluate("!document.querySelector('#token-form').hidden")
    assert browser.evaluate("document.querySelector('#use').hidden")
    assert "animals" not in browser.evaluate("document.title + document.body.textContent")
    browser.picture("token")
    for token, is_right in (("wrong", False), ("open sesame", True)):
        browser.evaluate(
            f"document.querySelector('#token').value = '{token}';"
            "document.querySelector('#token-form').requestSubmit()"
        )
        browser.choose(pictures[1])
        browser.wait_for(
            FINISHED.format(count=1)
            if is_right
            else "document.querySelector('.problem')?.hidden === false"
        )
    assert browser.evaluate("document.querySelector('#token-form').hidden")
    assert browser.evaluate("document.title") == "Tiny animals: classify images"
    assert browser.evaluate(ABOUT.format(selector="#verdict")) == (
        "Tells 3 classes apart; right on 75.0% of 1,200 test images that it had not seen."
    )
    classes = "[...document.querySelectorAll('#classes li')].map((item) => item.textContent)"
    assert browser.evaluate(classes) == ["cat", "dög", "<b>owl</b>"]
    browser.picture("token-given")
    browser.open(server.address)  # the tab remembers it
    browser.wait_for(
        "document.querySelector('#token-form').hidden "
        "&& document.querySelector('#verdict').textContent"
    )


def test_a_server_that_went_away_is_told(
    browser: Browser, start_server: Any, onnx_file: Path, pictures: list[Path]
) -> None:
    server = start_server(str(onnx_file))
    browser.open(server.address)
    server.stop()
    browser.choose(pictures[1])
    browser.wait_for("document.querySelector('.problem')?.hidden === false")
    assert browser.evaluate(ABOUT.format(selector=".problem")) == (
        "The server does not answer. Is it still running?"
    )
