"""The graph gives what the network gives, in 8 bits nearly so, or one sentence says why not.

Every model's graph: ``test_every_recipe.py``.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tenfold.core.errors import ExportError, SettingsError
from tenfold.models.model import as_pixels
from tenfold.serving.onnx_graph import conversion, onnx_bytes, quantized
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


def by_traced_sizes(_network: Any, images: Tensor) -> Tensor:
    """Pool by a window that is computed from the size: torch prints its graph of this."""
    window = tuple(2 + size % 2 for size in images.shape[2:])
    pooled = torch.nn.functional.max_pool2d(images, window, stride=2)
    return pooled.flatten(1)[:, :3]


def by_unknown_operation(_network: Any, images: Tensor) -> Tensor:
    return torch.fft.rfft(images.flatten(1)).abs()[:, :3]


def by_python(_network: Any, images: Tensor) -> Tensor:
    raise NotImplementedError("not without\na second line")


def by_first_image(_network: Any, images: Tensor) -> Tensor:
    """Give what is right for the example alone."""
    return images.flatten(1)[:, :3] * (images.flatten(1)[0, :3] + 1).tolist()[0]


@pytest.mark.parametrize(
    ("command", "forward", "reason"),
    [
        ("export", by_traced_sizes, "SymbolicValueError"),
        ("export", by_unknown_operation, "fft_rfft"),
        ("export", by_python, "NotImplementedError: not without"),
        ("export", by_first_image, "does not give what the model gives"),
        ("serve", by_traced_sizes, "SymbolicValueError"),
    ],
)
def test_the_command_says_one_sentence(  # noqa: PLR0917 -- pytest passes them by name
    command: str,
    forward: Callable[..., Tensor],
    reason: str,
    make_model_folder: Callable[..., Path],
    image_folder: Path,
    tenfold: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_model_folder(image_shape=(8, 8, 1))
    monkeypatch.setattr("tenfold.models.cnn._Cnn.forward", forward)
    options = {
        "export": ("--onnx", "--data", image_folder, "--out", tmp_path / "model.onnx"),
        "serve": ("--port", "0"),
    }
    result = tenfold(command, folder, *options[command])
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: The ")
    assert result.err.count("\n") == 1
    assert len(result.err) < 600
    assert reason in result.err
    assert "%" not in result.err
    assert not (tmp_path / "model.onnx").exists()


def test_nothing_that_is_printed_comes_out(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with conversion("It cannot be made", "Leave it."):
        print("by Python")
        os.write(1, b"by C++\n")
        os.write(2, b"by C++\n")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.getLogger("onnx").error("logged")
    print("after")
    os.write(2, b"errors\n")
    assert capfd.readouterr() == ("before\nafter\n", "errors\n")


def test_an_error_is_told_without_its_graph(capfd: pytest.CaptureFixture[str]) -> None:
    for error, reason in [
        (RuntimeError("graph(%input : Float(2, 3)):\n  %1 : ..."), "RuntimeError"),
        (ValueError("no such axis.\nat line 3"), "ValueError: no such axis"),
        (KeyError(), "KeyError"),
        (RuntimeError("x" * 5000), f"RuntimeError: {'x' * 160}…"),
    ]:
        with pytest.raises(ExportError) as raised:
            fail_with(error)
        assert str(raised.value) == f"It cannot be made ({reason}). Leave it."
    assert capfd.readouterr().out == ""


def fail_with(error: Exception) -> None:
    with conversion("It cannot be made", "Leave it."):
        os.write(1, b"a dump\n")
        raise error


def test_a_missing_package_is_said_as_such() -> None:
    with pytest.raises(SettingsError, match="needs onnx"), conversion("It cannot be made", "No."):
        raise SettingsError("needs onnx")
