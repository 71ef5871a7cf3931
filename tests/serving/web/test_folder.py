"""``tenfold export --web``: what is written, and that it classifies as ``predict`` does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chromium import Browser
from tenfold.classifier import load
from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageSplit
from tenfold.data.images.decoding import decode_image
from tenfold.serving.export import RealImages, images_for
from tenfold.serving.web import folder as module
from tenfold.serving.web.folder import POLICY, SCRIPTS, export_web, web_text
from tenfold.training.model_folder import read_model_folder

pytestmark = pytest.mark.usefixtures("one_core")

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

TOLERANCE = 1e-3
"""Of a probability."""
ASK = """(async () => {
  const all = [];
  for (const name of NAMES) {
    const blob = await (await fetch(name)).blob();
    const answer = await askNetwork('', blob).catch((error) => error.message);
    all.push(answer.results ? answer.results[0] : answer);
  }
  return all;
})()"""


@pytest.fixture
def without_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write two small files in the place of ONNX Runtime's."""
    monkeypatch.setattr(module, "runtime_files", lambda *_: {"ort.mjs": b"js", "ort.wasm": b"wasm"})


def exported(run_folder: Path, folder: Path) -> module.WebExport:
    packaged = read_model_folder(run_folder)
    images = images_for(run_folder, None, packaged.record)
    return export_web(packaged, folder, images, SilentProgress())


@pytest.mark.usefixtures("without_runtime")
def test_what_is_written(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    (folder / "onnxruntime").mkdir(parents=True)  # of an earlier export
    (folder / "model.json").write_text("{}")
    export = exported(run_folder, folder)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        *("index.html", "page.css", "page.js", "model.onnx", "model.json", *SCRIPTS),
        *("onnxruntime/ort.mjs", "onnxruntime/ort.wasm", "onnxruntime/LICENSE.txt"),
    }
    assert list(tmp_path.glob(".page*")) == []
    html = (folder / "index.html").read_text()
    assert f'content="{POLICY}"'.replace("'", "&#39;") in html
    assert not re.search(r'(src|href)="(/|https?:)', html)
    assert "stay on this device" in html
    assert "curl" not in html
    about = json.loads((folder / "model.json").read_text())
    assert about["classes"] == ["dark", "gray", "light"]
    text = web_text(export, "somewhere")
    assert "get another class" in text
    assert str(folder) in text


@pytest.mark.usefixtures("without_runtime")
def test_what_is_there_is_not_replaced(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "diary.txt").write_text("dear diary")
    with pytest.raises(DataError, match=r"holds other things \(diary.txt\)"):
        exported(run_folder, tmp_path / "site")
    assert (tmp_path / "site" / "diary.txt").is_file()
    with pytest.raises(DataError, match="is a file"):
        exported(run_folder, tmp_path / "site" / "diary.txt")


def model_of_photographs(
    make_model_folder: Callable[..., Path], photos_path: Path
) -> tuple[Path, list[Path], np.ndarray[Any, np.dtype[np.uint8]]]:
    photographs = sorted((photos_path / "test").rglob("*.jpg"))[::4]
    model = make_model_folder(image_shape=(160, 160, 3), kept_images=0, temperature=0.05)
    pixels = np.stack([decode_image(path, (160, 160, 3), is_resized=True) for path in photographs])
    return model, photographs, pixels


@pytest.mark.browser
@pytest.mark.photos
@pytest.mark.slow
def test_photographs_get_the_probabilities_of_predict(  # noqa: PLR0917 -- passed by name
    browser: Browser,
    hand_out: Callable[[Path], str],
    make_model_folder: Callable[..., Path],
    photos_path: Path,
    runtime_package: Path,
    tmp_path: Path,
) -> None:
    model, photographs, pixels = model_of_photographs(make_model_folder, photos_path)
    assert len(photographs) == 20
    images = RealImages(pixels, ImageSplit(pixels, np.zeros(len(pixels), np.int64)), "photographs")
    page = tmp_path / "page"
    packaged = read_model_folder(model)
    export_web(packaged, page, images, SilentProgress(), runtime=runtime_package)
    names = []
    for number, path in enumerate(photographs):
        shutil.copy(path, page / f"{number}.jpg")
        names.append(f"{number}.jpg")
    (page / "half.jpg").write_bytes(photographs[0].read_bytes()[:4000])
    browser.open(hand_out(page))
    answers = browser.evaluate(ASK.replace("NAMES", json.dumps([*names, "half.jpg"])))
    assert answers.pop() == "The image cannot be read: this JPEG is cut off."
    classes = packaged.record.classes
    received = np.array(
        [
            [{one["class"]: one["probability"] for one in answer["top"]}[name] for name in classes]
            for answer in answers
        ]
    )
    expected = load(model, device="cpu").predict_proba(pixels)
    assert expected.std(axis=0).max() > 10 * TOLERANCE  # or it would prove nothing
    assert np.abs(received - expected).max() < TOLERANCE
    # As a person sees it: chosen files, one of them broken.
    browser.choose(photographs[0], page / "half.jpg")
    browser.wait_for("document.querySelector('#status').textContent.startsWith('2 images')")
    assert browser.evaluate("document.querySelectorAll('.result h2 .sure').length") == 1
    assert browser.evaluate("document.querySelector('.problem:not([hidden])').textContent") == (
        "The image cannot be read: this JPEG is cut off."
    )
    browser.picture("web")
    assert browser.complaints() == []


@pytest.mark.browser
@pytest.mark.slow
def test_sets_and_unlike_images_are_told(  # noqa: PLR0917 -- passed by name
    browser: Browser,
    hand_out: Callable[[Path], str],
    run_folder: Path,
    image_folder: Path,
    runtime_package: Path,
    tmp_path: Path,
) -> None:
    packaged = read_model_folder(run_folder)
    sets = {
        "wanted_coverage": 0.9,
        "least_probabilities": (0.0, 0.3, 0.99),
        "calibration_counts": (9, 9, 9),
        "has_own_threshold": (False,) * 3,
        "calibrated_on": "validation",
    }
    images = images_for(run_folder, None, packaged.record)
    page = tmp_path / "page"
    export_web(packaged, page, images, SilentProgress(), runtime=runtime_package)
    about = json.loads((page / "model.json").read_text())
    (page / "model.json").write_text(json.dumps(about | {"prediction_sets": sets}))
    shutil.copy(image_folder / "dark" / "00.png", page / "one.png")
    browser.open(hand_out(page))
    (answer,) = browser.evaluate(ASK.replace("NAMES", '["one.png"]'))
    row = {one["class"]: one["probability"] for one in answer["top"]}
    best = answer["top"][0]["class"]
    least = dict(zip(about["classes"], sets["least_probabilities"], strict=True))
    expected = {name for name in row if name == best or row[name] >= least[name]}
    assert set(answer["set"]) == expected
    assert ("unlike" in answer) == (about["unlike_threshold"] is not None)
    pixels = decode_image(image_folder / "dark" / "00.png", (8, 8, 1), is_resized=True)
    wanted = load(run_folder, device="cpu").predict_proba(pixels[None])[0]
    received = [row[name] for name in about["classes"]]
    assert np.abs(wanted - received).max() < TOLERANCE


@pytest.mark.browser
@pytest.mark.usefixtures("without_runtime")
def test_a_file_that_is_missing_is_told(
    browser: Browser, hand_out: Callable[[Path], str], run_folder: Path, tmp_path: Path
) -> None:
    exported(run_folder, tmp_path / "page")
    browser.open(hand_out(tmp_path / "page"))
    status = "document.querySelector('#status').textContent"
    browser.wait_for(f"{status}.includes('a file of it is missing')")
    browser.open(f"file://{tmp_path / 'page' / 'index.html'}")
    browser.wait_for(f"{status}.includes('python -m http.server')")
