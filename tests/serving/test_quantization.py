"""The 8-bit version says what the model says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tenfold.models.model import as_pixels
from tenfold.serving.onnx_graph import onnx_bytes, quantized
from tenfold.serving.onnx_model import OnnxModel

pytestmark = pytest.mark.usefixtures("one_core")

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def smooth_images(count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Give images as photographs are: neighbouring pixels differ little."""
    generator = np.random.default_rng(3)
    coarse = generator.uniform(20, 235, (count, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    noise = generator.normal(0, 2, coarse.shape)
    return (coarse + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("is_mirror_equivariant", "most"), [(False, 0.16), (True, 0.28)])
def test_whitened_patches_survive(
    is_mirror_equivariant: bool, most: float, build: Any, describe: Any
) -> None:
    shape = (16, 16, 3)
    settings = {"widths": [16, 16, 16], "is_mirror_equivariant": is_mirror_equivariant}
    network = build("fast", settings, shape)
    images = smooth_images(96)
    network.body.prepare(lambda: network.normalized(as_pixels(images, torch.device("cpu"))))
    content = onnx_bytes(network, None, describe(shape))
    small = quantized(content, describe(shape).metadata(), images)
    expected, received = (logits_without_mean(one, images) for one in (content, small))
    assert (received - expected).std() < most * expected.std(), (
        "much more with the first layer in 8 bits"
    )


def logits_without_mean(model: bytes, images: Any) -> Any:
    """Give what tells the images apart, shape (N, classes)."""
    (logits,) = OnnxModel(model, threads=1)._session.run(["logits"], {"images": images})
    return logits - logits.mean(0)
