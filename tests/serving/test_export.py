"""``tenfold export``, and what it measures."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.classifier import load
from tenfold.cli.exporting import default_path
from tenfold.core.errors import DataError, ExportError
from tenfold.serving.export import (
    RealImages,
    check_parity,
    export_onnx,
    export_text,
    images_for,
    int8_path,
)
from tenfold.serving.onnx_graph import onnx_bytes
from tenfold.serving.onnx_model import OnnxModel
from tenfold.training.model_folder import read_model_folder

pytestmark = pytest.mark.usefixtures("one_core")

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def real_images(run_folder: Path, data: str | None = None) -> RealImages:
    record = read_model_folder(run_folder).record
    return images_for(run_folder, data, record)


def test_the_file_gives_what_the_loaded_model_gives(run_folder: Path, tmp_path: Path) -> None:
    images = real_images(run_folder)
    export = export_onnx(read_model_folder(run_folder), tmp_path / "model.onnx", images)
    assert export.paths == (tmp_path / "model.onnx",)
    model = OnnxModel.read(tmp_path / "model.onnx", threads=1)
    expected = load(run_folder, device="cpu").predict_proba(images.test.images)
    assert np.abs(model.predict_many(images.test.images) - expected).max() < 1e-5
    assert model.classes == ("dark", "gray", "light")
    assert model.description.accuracy is not None
    assert model.description.versions.keys() >= {"torch", "onnx", "python"}
    text = export_text(export, images.place)
    assert "Checked against PyTorch on" in text
    assert "probabilities differ by at most" in text


def test_int8_is_measured_beside_float32(run_folder: Path, tmp_path: Path) -> None:
    images = real_images(run_folder)
    out = tmp_path / "model.onnx"
    export = export_onnx(read_model_folder(run_folder), out, images, is_int8=True)
    assert export.paths == (out, tmp_path / "model.int8.onnx")
    assert [one.name for one in export.measurements] == ["float32", "int8"]
    plain, small = export.measurements
    expected = load(run_folder, device="cpu").score(
        images.test.images, np.array(["dark", "gray", "light"])[images.test.labels]
    )
    assert plain.accuracy == pytest.approx(expected)
    assert 0 <= small.accuracy <= 1
    model = OnnxModel.read(export.paths[1], threads=1)
    assert model.description.quantization == "int8"
    assert np.allclose(model.predict_many(images.test.images).sum(1), 1, atol=1e-5)
    lines = export_text(export, images.place).splitlines()
    assert any(line.startswith("int8 ") and "%" in line for line in lines)


def test_a_difference_writes_nothing(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenfold.serving import export as module

    right: Any = module.onnx_bytes
    monkeypatch.setattr(
        module, "onnx_bytes", lambda network, _, about, **_other: right(network, 9.0, about)
    )
    with pytest.raises(ExportError, match="does not give what the model gives"):
        export_onnx(read_model_folder(run_folder), tmp_path / "model.onnx", real_images(run_folder))
    assert not (tmp_path / "model.onnx").exists()


def test_the_largest_difference_is_told(build: Any, describe: Any, images: Any) -> None:
    network = build()
    model = OnnxModel(onnx_bytes(network, 1.7, describe()), threads=1)
    parity = check_parity(model, network, 1.7, images(20))
    assert parity.count == 20
    assert 0 <= parity.largest_difference < 1e-5
    assert parity.changed == 0


def test_a_forgotten_temperature_is_found(build: Any, describe: Any, images: Any) -> None:
    network = build()
    model = OnnxModel(onnx_bytes(network, None, describe()), threads=1)
    with pytest.raises(ExportError, match=r"20 images a probability differs by up to 0\.\d+"):
        check_parity(model, network, 3.0, images(20))


def test_another_normalization_is_found(build: Any, describe: Any, images: Any) -> None:
    network = build()
    model = OnnxModel(onnx_bytes(network, 1.0, describe()), threads=1)
    network.mean += 30
    with pytest.raises(ExportError, match="Nothing was written"):
        check_parity(model, network, 1.0, images(20))


class TestRealImages:
    def test_of_the_study(self, run_folder: Path) -> None:
        for path in (run_folder, run_folder / "model"):
            record = read_model_folder(run_folder).record
            images = images_for(path, None, record)
            assert len(images.train) > len(images.test) > 0

    def test_of_a_study_that_has_read_other_data_since(self, run_folder: Path) -> None:
        record = read_model_folder(run_folder).record
        acquired = run_folder / "acquire" / "record.json"
        acquired.write_text(acquired.read_text().replace(record.data.train_sha256, "0" * 64))
        with pytest.raises(DataError, match=f"tenfold run --out {run_folder}.*--data PATH"):
            images_for(run_folder, None, record)

    def test_a_folder_alone_needs_data(
        self, run_folder: Path, tmp_path: Path, image_folder: Path
    ) -> None:
        alone = tmp_path / "elsewhere" / "model"
        shutil.copytree(run_folder / "model", alone)
        with pytest.raises(DataError, match=r"no real images to check.*--data"):
            real_images(alone)
        images = real_images(alone, str(image_folder))
        assert images.test.images.shape[1:] == (8, 8, 1)

    def test_data_with_other_classes(self, run_folder: Path) -> None:
        with pytest.raises(DataError, match="classes that the model does not know: 0, 1"):
            real_images(run_folder, "digits")

    def test_classes_are_matched_by_name(self, run_folder: Path, image_folder: Path) -> None:
        (image_folder / "dark").rename(image_folder / "zzz")
        (image_folder / "gray").rename(image_folder / "dark")
        (image_folder / "zzz").rename(image_folder / "gray")
        images = real_images(run_folder, str(image_folder))
        bright = [images.test.images[images.test.labels == one].mean() for one in range(3)]
        assert bright[1] < bright[0] < bright[2]


def test_default_paths(tmp_path: Path) -> None:
    (tmp_path / "runs" / "a" / "acquire").mkdir(parents=True)
    assert default_path(tmp_path / "runs" / "a") == tmp_path / "runs" / "a.onnx"
    assert default_path(tmp_path / "runs" / "a" / "model") == tmp_path / "runs" / "a.onnx"
    assert default_path(tmp_path / "my.model") == tmp_path / "my.model.onnx"
    assert int8_path(Path("x/y.onnx")) == Path("x/y.int8.onnx")
