"""A model that cannot be exported is one sentence, whatever the packages behind it print."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tenfold.core.errors import ExportError, SettingsError
from tenfold.serving.onnx_graph import conversion

pytestmark = pytest.mark.usefixtures("one_core")

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


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
