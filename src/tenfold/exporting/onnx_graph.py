"""The graph of a model, with what it needs to know about itself in its metadata."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tenfold.core.errors import need
from tenfold.exporting.conversion import silence
from tenfold.exporting.onnx_description import OnnxDescription
from tenfold.exporting.onnx_model import INPUT, OUTPUT
from tenfold.models.model import ImageNetwork

OUTPUTS = (OUTPUT, "logits")
OPSET = 17  # The highest that the exporter by tracing writes without conversions; 2022.


class CalibratedNetwork(nn.Module):
    """All between pixels and probabilities as one module, so that nothing can be left outside.

    Parameters
    ----------
    network
        Normalisation and network.
    temperature
        Logits are divided by it before the softmax; None for 1.
    """

    def __init__(self, network: ImageNetwork, temperature: float | None) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature or 1.0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give probabilities and logits, float32, of images, uint8."""
        logits: Tensor = self.network(images.permute(0, 3, 1, 2).float())  # (N, H, W, C) in
        return torch.softmax(logits / self.temperature, dim=1), logits  # (N, classes)


def onnx_bytes(
    network: ImageNetwork, temperature: float | None, description: OnnxDescription
) -> bytes:
    """Give a network as the bytes of an ONNX file.

    One input, ``images``: uint8 (N, height, width, channels), any N. Two outputs: ``probabilities``
    and ``logits``, float32 (N, classes). Normalisation, temperature and softmax are in the graph,
    so whoever runs it needs no more than the pixels.

    Parameters
    ----------
    network
        In evaluation mode.
    temperature
        See `CalibratedNetwork`.
    description
        Goes into the metadata.
    """
    onnx = need("onnx", extra="onnx")
    module = CalibratedNetwork(network.cpu(), temperature).eval()
    # Two images, so that no dimension of 1 is taken for one to drop.
    example = torch.zeros((2, *description.image_shape), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), silence():
        path = Path(folder) / "model.onnx"
        # Layers that keep what they compute of their weights have it then, and the graph holds it
        # as a constant, which the 8-bit version needs.
        module(example)
        # The exporter by tracing is announced to go one day. The other one needs onnxscript,
        # writes side files and fixes batch sizes (peers' threads: pytorch#148886, darts#2930).
        torch.onnx.export(
            module,
            (example,),
            str(path),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch"} for name in (INPUT, *OUTPUTS)},
            opset_version=OPSET,
            dynamo=False,
        )
        graph = onnx.load(path)
    graph.producer_name = "tenfold"
    graph.producer_version = description.versions.get("tenfold", "")
    onnx.checker.check_model(graph)
    return with_metadata(graph, description.metadata())


def with_metadata(graph: Any, metadata: Mapping[str, str]) -> bytes:
    """Give the bytes of onnx's model with its metadata replaced."""
    need("onnx", extra="onnx").helper.set_model_props(graph, dict(metadata))
    content: bytes = graph.SerializeToString()
    return content
