"""A model with 8-bit weights and activations: a quarter of the size, and faster where the CPU can.

Static quantisation (Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", CVPR 2018, arXiv 1712.05877): the ranges of activations are
measured once, on training images. Weights have one scale a channel (Krishnamoorthi, arXiv
1806.08342, section 3.1), in the form that ONNX Runtime calls QDQ.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tenfold.core.errors import need
from tenfold.data.dataset import Images
from tenfold.exporting.conversion import silence
from tenfold.exporting.onnx_graph import with_metadata
from tenfold.exporting.onnx_model import INPUT
from tenfold.exporting.real_images import spread

CALIBRATION_IMAGES = 512
"""Training images that the ranges are measured on; the paper uses some hundred."""
_BATCH = 16
"""Of the calibration, which holds every map of a batch: 25 MB an image in EfficientNet-Lite0."""


def quantized(model: bytes, metadata: dict[str, str], images: Images) -> bytes:
    """Give an int8 version of a float32 ONNX model.

    Convolutions and matrix products compute in 8 bits; the input stays uint8, and the first
    convolution, temperature and softmax stay float32.

    Parameters
    ----------
    model
        From `tenfold.exporting.onnx_graph.onnx_bytes`.
    metadata
        Of the new file.
    images
        uint8, shape (N, H, W, C): training images, at least one; `CALIBRATION_IMAGES` of them,
        spread over the whole, are used.
    """
    onnx = need("onnx", extra="onnx")
    quantization = need("onnxruntime.quantization", extra="onnx")
    preparation = need("onnxruntime.quantization.shape_inference", extra="onnx")
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
            nodes_to_exclude=_first_convolution(onnx.load(prepared)),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.Percentile,
            # The histograms are made batch by batch; else all maps of all images are held at once,
            # and a last batch that is smaller is an error.
            extra_options={"CalibPercentile": 99.99, "CalibStridedMinMax": 1},
        )
        return with_metadata(onnx.load(small), metadata)


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
            return math.ceil(len(images) / _BATCH)

        def set_range(self, start_index: int, end_index: int) -> None:
            self._places = iter(range(start_index, end_index))

        def get_next(self) -> dict[str, Images] | None:
            place = next(self._places, None)
            if place is None:
                return None
            block = images[place * _BATCH : (place + 1) * _BATCH]
            return {INPUT: np.ascontiguousarray(block)}

    return Reader()
