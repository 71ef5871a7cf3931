"""Files that are no exported models are refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import ModelFolderError, SettingsError, need
from tenfold.core.records.data import ValueRange, ValueRanges
from tenfold.serving.onnx_graph import onnx_bytes, with_metadata
from tenfold.serving.onnx_model import BATCH_SIZE, OnnxModel

pytestmark = pytest.mark.usefixtures("one_core")

onnx = pytest.importorskip("onnx")
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


def test_large_images_are_computed_few_at_a_time(build: Any, describe: Any, images: Any) -> None:
    shape = (96, 128, 3)
    model = OnnxModel(onnx_bytes(build(shape=shape), 1.0, describe(shape)), threads=1)
    assert model.batch_size == BATCH_SIZE * 32 * 32 // (96 * 128)
    given = images(model.batch_size + 1, shape)
    np.testing.assert_allclose(model.predict_many(given), model.predict(given), atol=1e-6)


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
    graph = onnx.load_model_from_string(onnx_bytes(build(), 1.0, describe()))
    other = with_metadata(graph, {"classes": "[]"})
    with pytest.raises(ModelFolderError, match="without the description that tenfold writes"):
        OnnxModel(other)


def test_a_file_of_a_newer_version(build: Any, describe: Any) -> None:
    newer = onnx_bytes(build(), 1.0, describe(format_version=99))
    with pytest.raises(ModelFolderError, match="format 99, which a newer tenfold wrote"):
        OnnxModel(newer)


def foreign(describe: Any, **changes: Any) -> bytes:
    """Give a graph that tenfold did not make, with tenfold's description."""
    from onnx import TensorProto, helper

    values: dict[str, Any] = {
        "input": ("images", TensorProto.UINT8, ["N", 16, 16, 3]),
        "output": ("probabilities", TensorProto.FLOAT, ["N", 3]),
        "weights": [0.0, 0.0, 0.0],
        "softmax": "Softmax",
        "description": {},
    } | changes
    name, kind, shape = values["input"]
    out = values["output"]
    nodes = [
        helper.make_node("Cast", [name], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("Mul", ["column", "weights"], ["scores"]),
        helper.make_node(values["softmax"], ["scores"], ["result"]),
        helper.make_node("Cast", ["result"], [out[0]], to=out[1]),
    ]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_tensor_value_info(*out)],
        [
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor(
                "weights", TensorProto.FLOAT, [1, len(values["weights"])], values["weights"]
            ),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return with_metadata(model, describe((16, 16, 3)).metadata() | values["description"])


def test_a_file_of_somebody_else_that_does_the_same(describe: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(foreign(describe))
    assert OnnxModel.read(path, threads=1).classes


FLOAT, DOUBLE, UINT8 = 1, 11, 2


@pytest.mark.parametrize(
    "changes",
    [
        {"input": ("input", UINT8, ["N", 16, 16, 3])},
        {"input": ("images", FLOAT, ["N", 16, 16, 3])},
        {"input": ("images", UINT8, ["N", 3, 16, 16])},
        {"input": ("images", UINT8, ["N", 32, 32, 3])},
        {"input": ("images", UINT8, [1, 16, 16, 3])},
        {"output": ("output", FLOAT, ["N", 3])},
        {"output": ("probabilities", DOUBLE, ["N", 3])},
        {"output": ("probabilities", FLOAT, ["N", 4]), "weights": [0.0] * 4},
        {"output": ("probabilities", FLOAT, ["N", "C"]), "weights": [0.0] * 4},
        {"output": ("probabilities", FLOAT, None), "weights": [0.0] * 2},
        {"weights": [0.0, float("nan"), 0.0]},
        {"weights": [0.0, float("inf"), 0.0]},
        {"softmax": "Identity"},
        {"softmax": "Sigmoid"},
        {"description": {"tenfold.accuracy": "NaN"}},
        {"description": {"tenfold.accuracy": "1.5"}},
        {"description": {"tenfold.test_count": "null", "tenfold.accuracy": "0.5"}},
        {"description": {"tenfold.image_shape": "[0, 16, 3]"}},
        {"description": {"tenfold.image_shape": "[100000, 100000, 3]"}},
        {"description": {"tenfold.classes": '["one"]'}},
    ],
)
def test_a_file_of_somebody_else_that_gives_no_probabilities(
    changes: dict[str, Any], describe: Any, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(foreign(describe, **changes))
    with pytest.raises(ModelFolderError, match=r"tenfold export MODEL --onnx$") as caught:
        OnnxModel.read(path, threads=1)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_missing_package_is_named_with_its_extra() -> None:
    with pytest.raises(SettingsError, match=r"package nosuchthing.*pip install 'tenfold\[onnx\]'"):
        need("nosuchthing.inner", extra="onnx")


def test_the_range_of_numbers_is_in_the_metadata(build: Any, describe: Any) -> None:
    ranges = ValueRanges(integers=ValueRange(low=0, high=4095))
    model = OnnxModel(onnx_bytes(build(), 1.0, describe(value_ranges=ranges)), threads=1)
    assert model.description.value_ranges == ranges
