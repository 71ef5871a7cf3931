"""Files that are no exported models are refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import ModelFolderError, SettingsError
from tenfold.core.records.value_range import ValueRange, ValueRanges
from tenfold.exporting.extra import need
from tenfold.exporting.onnx_graph import onnx_bytes, with_metadata
from tenfold.exporting.onnx_model import BATCH_SIZE, OnnxModel

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_many_images_in_batches_give_what_single_ones_give(
    build: Any, describe: Any, images: Any
) -> None:
    model = OnnxModel(onnx_bytes(build(), 1.0, describe()), threads=1)
    given = images(BATCH_SIZE + 3)
    many = model.predict_many(given)
    assert many.shape == (BATCH_SIZE + 3, 3)
    for place in (0, BATCH_SIZE - 1, BATCH_SIZE, BATCH_SIZE + 2):
        assert abs(many[place] - model.predict(given[place : place + 1])[0]).max() < 1e-6
    assert model.predict_many(given[:0]).shape == (0, 3)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"cannot be read: No such file.*tenfold export"):
        OnnxModel.read(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"PNG", b"\x08\x08" * 50])
def test_other_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFolderError, match="cannot be read as an ONNX model"):
        OnnxModel.read(path)


def test_a_file_of_somebody_else(build: Any, describe: Any) -> None:
    other = with_metadata(onnx_bytes(build(), 1.0, describe()), {"classes": "[]"})
    with pytest.raises(ModelFolderError, match="without the description that tenfold writes"):
        OnnxModel(other)


def test_a_file_of_a_newer_version(build: Any, describe: Any) -> None:
    newer = onnx_bytes(build(), 1.0, describe(format_version=99))
    with pytest.raises(ModelFolderError, match="format 99, which a newer tenfold wrote"):
        OnnxModel(newer)


def test_a_missing_package_is_named_with_its_extra() -> None:
    with pytest.raises(SettingsError, match=r"package nosuchthing.*pip install 'tenfold\[onnx\]'"):
        need("nosuchthing.inner", extra="onnx")


def test_the_range_of_numbers_is_in_the_metadata(build: Any, describe: Any) -> None:
    ranges = ValueRanges(integers=ValueRange(low=0, high=4095))
    model = OnnxModel(onnx_bytes(build(), 1.0, describe(value_ranges=ranges)), threads=1)
    assert model.description.value_ranges == ranges
