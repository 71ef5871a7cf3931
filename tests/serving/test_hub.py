"""``tenfold export --hub``: metadata that the Hub reads, and a model folder all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.classifier import load
from tenfold.core.errors import DataError
from tenfold.serving.export import images_for
from tenfold.serving.hub import export_hub
from tenfold.serving.onnx_model import OnnxModel
from tenfold.training.model_folder import read_model_folder

pytestmark = pytest.mark.usefixtures("one_core")

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
yaml = pytest.importorskip("yaml", reason="needs PyYAML")


def metadata_of(folder: Path) -> dict[str, Any]:
    _, block, _ = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    return dict(yaml.safe_load(block))


def test_the_card_has_metadata_and_the_folder_loads(run_folder: Path, tmp_path: Path) -> None:
    packaged = read_model_folder(run_folder)
    images = images_for(run_folder, None, packaged.record)
    folder = tmp_path / "hub"
    for _ in range(2):  # an earlier export is replaced
        export_hub(packaged, folder, images, licence="apache-2.0")
    found = metadata_of(folder)
    assert found["license"] == "apache-2.0"
    assert found["pipeline_tag"] == "image-classification"
    assert found["library_name"] == "tenfold"
    (entry,) = found["model-index"]
    (result,) = entry["results"]
    assert result["task"]["type"] == "image-classification"
    assert {"name", "type"} <= result["dataset"].keys()
    values = {one["type"]: one for one in result["metrics"]}
    assert packaged.record.scores is not None
    accuracy = packaged.record.scores.accuracy
    assert values["accuracy"]["value"] == pytest.approx(accuracy.value, abs=1e-4)
    assert "95% interval" in values["accuracy"]["name"]
    assert found["metrics"] == list(values)
    # No pictures of the training, and no word that there are.
    names = {path.name for path in folder.iterdir()}
    assert {"README.md", "model.json", "weights.safetensors", "model.onnx"} <= names
    assert "neighbours.safetensors" not in names
    assert "thumbnails" not in (folder / "README.md").read_text("utf-8")
    expected = load(run_folder, device="cpu").predict_proba(images.test.images)
    received = load(folder, device="cpu").predict_proba(images.test.images)
    assert np.array_equal(expected, received)
    exported = OnnxModel.read(folder / "model.onnx", threads=1)
    assert np.abs(exported.predict_many(images.test.images) - expected).max() < 1e-5


def test_other_things_are_left_alone(run_folder: Path, tmp_path: Path) -> None:
    packaged = read_model_folder(run_folder)
    images = images_for(run_folder, None, packaged.record)
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    for place in (tmp_path / "clone", run_folder / "model"):
        before = sorted(path.name for path in place.iterdir())
        with pytest.raises(DataError, match="holds other things"):
            export_hub(packaged, place, images)
        assert sorted(path.name for path in place.iterdir()) == before
