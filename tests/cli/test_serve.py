"""What `tenfold serve` refuses before it serves."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenfold.training.model_folder import read_model_folder, write_model_folder

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [(["--token", ""], None), (["--token", "\n"], None), ([], ""), ([], " \n")],
)
def test_an_empty_token_is_no_open_door(
    arguments: list[str],
    variable: str | None,
    tenfold: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if variable is not None:
        monkeypatch.setenv("TENFOLD_TOKEN", variable)
    result = tenfold("serve", "model.onnx", "--port", "0", *arguments)
    assert (result.code, result.out) == (2, "")
    assert "The token is empty" in result.err
    assert "Traceback" not in result.err


def test_what_is_no_name(tenfold: Any) -> None:
    result = tenfold("serve", "model.onnx", "--port", "0", "--allowed-host", "http://a.example/")
    assert result.code == 2
    assert "is no name of a host" in result.err


def test_a_limit_that_there_is_not(tenfold: Any) -> None:
    result = tenfold("serve", "model.onnx", "--port", "0", "--set", "body_mb=3")
    assert result.code == 2
    assert "Did you mean 'body_mib'" in result.err


def test_no_model(tenfold: Any, tmp_path: Path) -> None:
    result = tenfold("serve", tmp_path / "nothing", "--port", "0")
    assert result.code == 2
    assert "There is no model at" in result.err


def test_a_port_that_is_taken(tenfold: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = tenfold("serve", "model.onnx", "--port", port)
    assert result.code == 2
    assert f"Cannot listen at 127.0.0.1, port {port}" in result.err


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(value: float, tenfold: Any, make_model_folder: Any) -> None:
    folder: Path = make_model_folder()
    model = read_model_folder(folder)
    name, tensor = next(iter(model.weights.items()))
    broken = tensor.clone()
    broken.view(-1)[0] = value
    write_model_folder(folder, replace(model, weights={**model.weights, name: broken}))
    for command in (("serve", folder, "--port", "0"), ("predict", folder, "image.png")):
        result = tenfold(*command)
        assert (result.code, result.out) == (2, "")
        assert name in result.err
        assert "not finite" in result.err
