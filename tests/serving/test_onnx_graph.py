"""The graph gives what the network gives; every model's: ``tests/serving/test_every_recipe.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tenfold.serving.onnx_graph import onnx_bytes
from tenfold.serving.onnx_model import OnnxModel
from tenfold.training.device import choose_device
from tenfold.training.temperature import predict_probabilities

pytestmark = pytest.mark.usefixtures("one_core")

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

TEMPERATURE = 1.7


@pytest.mark.parametrize("shape", [(8, 8, 1), (12, 20, 3)])
def test_other_shapes(shape: tuple[int, int, int], build: Any, describe: Any, images: Any) -> None:
    network = build("cnn", {"conv_layers": 1, "filters": [4], "units": 8}, shape)
    model = OnnxModel(onnx_bytes(network, None, describe(shape)), threads=1)
    given = images(5, shape)
    expected = predict_probabilities(
        network, given, None, device=choose_device("cpu"), precision=torch.float32
    )
    assert np.abs(model.predict(given) - expected).max() < 1e-5


def test_preprocessing_and_temperature_are_inside(
    build: Callable[..., Any], describe: Any, images: Any
) -> None:
    network = build()
    given = images(4)
    graph = onnx.load_model_from_string(onnx_bytes(network, TEMPERATURE, describe()))
    (entry,) = graph.graph.input
    assert entry.name == "images"
    assert entry.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sides = [one.dim_param or one.dim_value for one in entry.type.tensor_type.shape.dim]
    assert sides == ["batch", 32, 32, 3]
    assert [one.name for one in graph.graph.output] == ["probabilities", "logits"]
    session = OnnxModel(graph.SerializeToString(), threads=1)._session
    probabilities, logits = session.run(None, {"images": given})
    exponentials = np.exp(logits / TEMPERATURE)
    assert np.allclose(probabilities, exponentials / exponentials.sum(1, keepdims=True), atol=1e-6)


def test_the_file_tells_its_classes_and_versions(build: Any, describe: Any) -> None:
    description = describe()
    content = onnx_bytes(build(), TEMPERATURE, description)
    assert OnnxModel(content, threads=1).description == description
    entries = {one.key: one.value for one in onnx.load_model_from_string(content).metadata_props}
    assert entries["tenfold.classes"] == '["cat", "dög", "a \\"quoted\\"\\nname"]'
