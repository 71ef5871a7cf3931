"""One image file, one answer: by ``predict``, over HTTP, and by the exported file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from photographs import write_photographs
from tenfold.core.progress import SilentProgress
from tenfold.data.images.reading import decode_files
from tenfold.serving.onnx_model import OnnxModel
from tenfold.serving.prediction import LoadedModel, find_images, load_model, predict_files

pytestmark = pytest.mark.usefixtures("one_core")

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("fastapi")

SIDE_PX = 24
FORM = {"content-type": "multipart/form-data; boundary=XX"}


def write_kinds(folder: Path) -> Path:
    """Write one image of every kind that people have, none of the size that the model takes."""
    folder.mkdir()
    light = np.linspace(30, 220, 120)[None, :, None] * np.array([1.0, 0.8, 0.5])
    noise = np.random.default_rng(3).normal(0, 20, (90, 120, 3))
    scene = Image.fromarray((light + noise).clip(0, 255).astype(np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    opacity = Image.linear_gradient("L").resize(scene.size)
    scene.save(folder / "colour.jpg")
    scene.convert("L").save(folder / "gray.jpg")
    scene.convert("CMYK").save(folder / "print.jpg")
    scene.save(folder / "turned.jpg", exif=turned)
    scene.save(folder / "progressive.jpg", progressive=True)
    scene.resize((1201, 903)).save(folder / "large.jpg", exif=turned)
    scene.resize((8, 8)).save(folder / "tiny.png")
    scene.quantize(16).save(folder / "palette.png")
    scene.save(folder / "animated.gif", save_all=True, append_images=[scene.rotate(180)])
    transparent = scene.copy()
    transparent.putalpha(opacity)
    transparent.save(folder / "transparent.png")
    transparent.save(folder / "transparent.webp")
    Image.fromarray(np.asarray(scene.convert("L")).astype(np.uint16) << 4).save(folder / "deep.png")
    return folder


@pytest.fixture
def exported(make_model_folder: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """Give a model folder of photographs, and the file that it was exported to."""
    from tenfold.serving.export import exported_model
    from tenfold.training.model_folder import read_model_folder

    folder = make_model_folder(image_shape=(SIDE_PX, SIDE_PX, 3))
    noise = np.random.default_rng(0).integers(0, 256, (3, SIDE_PX, SIDE_PX, 3), np.uint8)
    path = tmp_path / "model.onnx"
    path.write_bytes(exported_model(read_model_folder(folder), noise).content)
    return folder, path


def predicted(model: LoadedModel, images: Path) -> dict[str, Any]:
    results = list(predict_files(model.model, find_images([str(images)])))
    assert not [one.reason for one in results if one.reason]
    return {one.name: one for one in results}


def test_every_kind_of_file_is_the_same_image_everywhere(
    exported: tuple[Path, Path], client: Callable[..., Any], tmp_path: Path
) -> None:
    folder, path = exported
    images = write_kinds(tmp_path / "kinds")
    file = load_model(path)
    of_folder, of_file = predicted(load_model(folder), images), predicted(file, images)
    assert of_folder.keys() == of_file.keys()

    # As a training would have read them.
    assert isinstance(file.model, OnnxModel)
    files, ranges = [Path(name) for name in of_folder], file.model.description.value_ranges
    read = decode_files(files, SIDE_PX, SilentProgress(), is_strict=True, ranges=ranges)
    ask = partial(client(model=file.model), "POST", "/api/predict")
    for place, (name, one) in enumerate(of_folder.items()):
        assert np.array_equal(one.pixels, read.images[place]), name
        assert np.array_equal(one.pixels, of_file[name].pixels), name
        assert np.abs(one.probabilities - of_file[name].probabilities).max() < 1e-5, name

        content = Path(name).read_bytes()
        form = b'--XX\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        as_form = form + content + b"\r\n--XX--\r\n"
        for answer in (ask(content), ask(as_form, FORM)):
            assert answer.status == 200, name
            top = json.loads(answer.body)["results"][0]["top"]
            served = [entry["probability"] for entry in top]
            known = [share for _, share in of_file[name].top(3)]
            names = [file.classes[index] for index, _ in of_file[name].top(3)]
            assert [entry["class"] for entry in top] == names
            np.testing.assert_allclose(served, known, atol=1e-6, err_msg=name)


def test_predict_takes_an_exported_file(
    exported: tuple[Path, Path], tenfold: Callable[..., Any], tmp_path: Path
) -> None:
    photos = write_photographs(tmp_path / "photos", count=2)
    tables = []
    for place, model in enumerate(exported):
        table = tmp_path / f"{place}.csv"
        result = tenfold("predict", model, photos, "--csv", table)
        assert result.code == 0, result.err
        tables.append(list(csv.DictReader(io.StringIO(table.read_text("utf-8-sig")))))
    assert len(tables[0]) == 6
    for one, other in zip(*tables, strict=True):
        assert one.keys() == other.keys()
        assert (one["image"], one["class_1"]) == (other["image"], other["class_1"])
        assert float(one["probability_1"]) == pytest.approx(float(other["probability_1"]), abs=1e-5)


def test_what_an_exported_file_cannot_do_is_said(
    exported: tuple[Path, Path],
    tenfold: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    _, path = exported
    photos = write_photographs(tmp_path / "photos", count=1)
    for arguments, message in (
        ([path, photos, "--explain", tmp_path / "why"], "--explain needs a model folder"),
        ([path, photos, "--device", "cuda"], "an exported file is computed on the CPU"),
        ([tmp_path / "none.onnx", photos], "No such file or directory"),
    ):
        result = tenfold("predict", *arguments)
        assert (result.code, result.out) == (2, "")
        assert message in result.err

    def missing(module: str) -> Any:
        raise ImportError(f"No module named {module!r}")

    monkeypatch.setattr("tenfold.core.errors.importlib.import_module", missing)
    result = tenfold("predict", path, photos)
    assert result.code == 2
    assert "pip install 'tenfold[onnx]'" in result.err
