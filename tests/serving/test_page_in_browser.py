"""The page in a real browser."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chromium import Browser

pytestmark = pytest.mark.browser


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
