"""An export that differs is an error."""

from __future__ import annotations

from typing import Any

import pytest

from tenfold.core.errors import ExportError
from tenfold.serving.export import check_parity
from tenfold.serving.onnx_graph import onnx_bytes
from tenfold.serving.onnx_model import OnnxModel

pytestmark = pytest.mark.usefixtures("one_core")

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


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
