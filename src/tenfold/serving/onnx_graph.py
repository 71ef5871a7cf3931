"""A network to an ONNX graph with calibrated probabilities, in 32 or 8 bits."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tenfold.core.errors import ExportError, SettingsError, need
from tenfold.data.dataset import Images
from tenfold.data.store import AnyImages
from tenfold.evaluation.unlike import NEIGHBOURS, UnlikeScore
from tenfold.models.model import ImageNetwork
from tenfold.serving.onnx_model import (
    INPUT,
    OUTPUT,
    UNLIKENESS,
    OnnxDescription,
    onnx_runtime,
)

OUTPUTS = (OUTPUT, "logits")
OPSET = 17  # The highest that the exporter by tracing writes without conversions; 2022.
CALIBRATION_IMAGES = 512
"""Training images that the ranges are measured on; the paper uses some hundred."""
_CALIBRATION_BATCH = 16
"""Images whose every map is held at once: 25 MB an image in EfficientNet-Lite0."""
_MOST_LETTERS = 160
_PART_OF_A_GRAPH = re.compile(r"%[\w.]+ :|%\d|graph\(")
_PRINTED_TO = (1, 2)
"""File descriptors of standard output and standard error."""


class CalibratedNetwork(nn.Module):
    """All between pixels and probabilities as one module, so that nothing can be left outside.

    Parameters
    ----------
    network
        Normalisation and network.
    temperature
        Logits are divided by it before the softmax; None for 1.
    unlike
        What the third output is computed by; None for none.
    """

    def __init__(
        self, network: ImageNetwork, temperature: float | None, unlike: UnlikeScore | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature or 1.0
        self.scaling = None if unlike is None else unlike.scaling.tolist()
        self._seen: list[Tensor] = []
        if unlike is not None:
            reference = torch.from_numpy(unlike.reference.astype(np.float32)).T.contiguous()
            self.register_buffer("reference", reference)  # (features, R)
            for layer in network.modules():
                if isinstance(layer, nn.Linear):
                    layer.register_forward_pre_hook(self._watch)

    def _watch(self, _layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._seen[:] = inputs[:1]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Give probabilities and logits, float32, of images, uint8, and how unlike they are."""
        logits: Tensor = self.network(images.permute(0, 3, 1, 2).float())  # (N, H, W, C) in
        probabilities = torch.softmax(logits / self.temperature, dim=1)  # (N, classes)
        if self.scaling is None:
            return probabilities, logits
        features = (self._seen[0] if self._seen else logits).flatten(1).float()
        return probabilities, logits, self._unlikeness(features, logits)

    def _unlikeness(self, features: Tensor, logits: Tensor) -> Tensor:
        """Give what `UnlikeScore.score` gives, shape (N,)."""
        assert self.scaling is not None
        centre, scale, energy_centre, energy_scale = self.scaling
        reference: Tensor = self.reference  # type: ignore[assignment]
        length = features.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
        alike = (features / length) @ reference
        nearest = min(NEIGHBOURS, reference.size(1))
        of_fifth = alike.topk(nearest, dim=1).values[:, -1]
        distance = (2 - 2 * of_fifth).clamp_min(0).sqrt()
        energy = -torch.logsumexp(logits, dim=1)
        unlikeness: Tensor = (distance - centre) / scale
        unlikeness += (energy - energy_centre) / energy_scale
        return unlikeness


def onnx_bytes(
    network: ImageNetwork,
    temperature: float | None,
    description: OnnxDescription,
    unlike: UnlikeScore | None = None,
) -> bytes:
    """Give a network as the bytes of an ONNX file.

    One input, ``images``: uint8 (N, height, width, channels), any N. Outputs: ``probabilities`` and
    ``logits``, float32 (N, classes), and with `unlike` ``unlikeness``, float32 (N).
    Normalisation, temperature and softmax are in the graph, so whoever runs it needs no more than
    the pixels.

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
    module = CalibratedNetwork(network.cpu(), temperature, unlike).eval()
    outputs = OUTPUTS if unlike is None else (*OUTPUTS, UNLIKENESS)
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
            output_names=list(outputs),
            dynamic_axes={name: {0: "batch"} for name in (INPUT, *outputs)},
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


def quantized(model: bytes, metadata: dict[str, str], images: AnyImages) -> bytes:
    """Give an int8 version of a float32 ONNX model: a quarter of its size.

    It is faster where the CPU can. Convolutions and matrix products compute in 8 bits; the input
    stays uint8, and the first convolution, temperature and softmax stay float32.

    Static quantisation (Jacob et al., "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference", CVPR 2018, arXiv 1712.05877): the ranges of activations are
    measured once, on training images. Weights have one scale a channel (Krishnamoorthi, arXiv
    1806.08342, section 3.1), in the form that ONNX Runtime calls QDQ.

    Parameters
    ----------
    model
        From `onnx_bytes`.
    metadata
        Of the new file.
    images
        uint8, shape (N, H, W, C): training images, at least one; `CALIBRATION_IMAGES` of them,
        spread over the whole, are used.
    """
    onnx = need("onnx", extra="onnx")
    quantization = onnx_runtime("onnxruntime.quantization")
    preparation = onnx_runtime("onnxruntime.quantization.shape_inference")
    chosen = spread(images, CALIBRATION_IMAGES)[:CALIBRATION_IMAGES]
    with tempfile.TemporaryDirectory() as folder, silence():
        plain, prepared, small = (Path(folder) / f"{name}.onnx" for name in ("a", "b", "c"))
        plain.write_bytes(model)
        preparation.quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(small),
            _reader(quantization.CalibrationDataReader, chosen),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm", "Add", "MaxPool", "Relu"],
            nodes_to_exclude=_kept_in_float(onnx.load(prepared)),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.Percentile,
            # The histograms are made batch by batch; else all maps of all images are held at once,
            # and a last batch that is smaller is an error.
            extra_options={"CalibPercentile": 99.99, "CalibStridedMinMax": 1},
        )
        return with_metadata(onnx.load(small), metadata)


def _kept_in_float(model: Any) -> list[str]:
    """Give the names of the nodes that 8 bits would spoil."""
    makers = {output: node for node in model.graph.node for output in node.output}
    of_logits: set[str] = set()
    waiting = list(OUTPUTS)
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in of_logits:
            of_logits.add(node.name)
            waiting += node.input
    # A distance is a small difference of large numbers.
    of_unlikeness = [node.name for node in model.graph.node if node.name not in of_logits]
    return _first_convolution(model) + of_unlikeness


def _first_convolution(model: Any) -> list[str]:
    """Give the name of the layer that sees the pixels, if there is one.

    It takes differences of neighbours, above all where it whitens patches, and 8 bits leave little
    of them: recipe `fast` on CIFAR-10 found 27% of the classes so, 76% without (decision 019).
    """
    return [node.name for node in model.graph.node if node.op_type == "Conv"][:1]


def _reader(base: type[Any], images: Images) -> Any:
    """Give images to ONNX Runtime's calibration; it counts in batches."""

    class Reader(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self._places: Iterator[int] = iter(())

        def __len__(self) -> int:
            return math.ceil(len(images) / _CALIBRATION_BATCH)

        def set_range(self, start_index: int, end_index: int) -> None:
            self._places = iter(range(start_index, end_index))

        def get_next(self) -> dict[str, Images] | None:
            place = next(self._places, None)
            if place is None:
                return None
            block = images[place * _CALIBRATION_BATCH : (place + 1) * _CALIBRATION_BATCH]
            return {INPUT: np.ascontiguousarray(block)}

    return Reader()


def spread(images: AnyImages, count: int) -> Images:
    """Give every n-th image: at least so many, where there are, and fewer than twice as many."""
    return images[:: max(1, len(images) // count)]


@contextmanager
def conversion(what: str, advice: str) -> Iterator[None]:
    """Keep what is printed in the block from the user, and make what is raised an ExportError.

    torch's exporter prints the whole graph when a layer cannot be converted, and warns of its own
    insides; ONNX Runtime logs, its quantiser prints. Part of it is written by C++, past Python's
    streams.

    The message begins with `what`, for example "The model 'cnn' cannot be written as a graph", and
    ends with the sentence `advice`. A missing package is left as it is.
    """
    try:
        with silence():
            yield
    except (ExportError, SettingsError):
        raise
    except Exception as error:  # three packages, each with a tree of errors of its own
        raise ExportError(f"{what} ({_in_words(error)}). {advice}") from error


@contextmanager
def silence() -> Iterator[None]:
    """Drop what is printed, warned and logged in the block, by whatever writes it."""
    logged = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            _dropped_descriptors(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logged)


@contextmanager
def _dropped_descriptors() -> Iterator[None]:
    """Let the process's standard output and standard error lead nowhere."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    kept: dict[int, int] = {}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for place in _PRINTED_TO:
            with contextlib.suppress(OSError):  # closed, as in a service
                kept[place] = os.dup(place)
                os.dup2(nowhere, place)
        yield
    finally:
        os.close(nowhere)
        for place, original in kept.items():
            os.dup2(original, place)
            os.close(original)


def _in_words(error: Exception) -> str:
    """Give an error's kind and its first line, unless that is a part of a graph."""
    kind = type(error).__name__
    line = " ".join(str(error).strip().partition("\n")[0].split())
    if not line or _PART_OF_A_GRAPH.search(line):
        return kind
    line = line if len(line) <= _MOST_LETTERS else f"{line[:_MOST_LETTERS].rstrip()}…"
    return f"{kind}: {line.rstrip('.')}"
