"""Programs for phones: what they give, and what is said where they cannot be made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tenfold.core.errors import SettingsError
from tenfold.evaluation.unlike import UnlikeScore
from tenfold.models.model import ImageNetwork
from tenfold.serving.mobile import ExecutorchModel, executorch_bytes, export_executorch
from tenfold.serving.onnx_graph import CalibratedNetwork, silence
from tenfold.serving.onnx_model import OnnxDescription


def test_without_executorch_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "executorch", None)
    nothing: Any = None
    with pytest.raises(SettingsError, match=r"pip install 'tenfold\[executorch\]'"):
        export_executorch(nothing, tmp_path / "model.pte", nothing)
    assert list(tmp_path.iterdir()) == []


def test_another_suffix_is_refused_before_anything_is_read() -> None:
    from tenfold.cli.main import app

    result = CliRunner().invoke(app, ["export", "no-such-model", "--executorch", "model.onnx"])
    assert isinstance(result.exception, SettingsError)
    assert "must end in .pte" in str(result.exception)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cnn", "fast"])
def test_a_program_gives_what_the_network_gives(
    build: Callable[..., ImageNetwork],
    describe: Callable[..., OnnxDescription],
    images: Callable[..., Any],
    model: str,
) -> None:
    pytest.importorskip("executorch.runtime", reason="needs the extra executorch")
    network = build(model)
    layer = [one for one in network.modules() if isinstance(one, torch.nn.Linear)][-1]
    reference = np.random.default_rng(2).random((20, layer.in_features)).astype(np.float16)
    unlike = UnlikeScore(reference, np.array([0.1, 0.2, -2, 0.5], np.float32))
    with silence():
        program = ExecutorchModel(executorch_bytes(network, 1.7, describe(), unlike))
        told = program.description
        rows = [program.outputs(image) for image in images(3)]
        many = program.predict_many(images(3))
    with torch.no_grad():
        expected = CalibratedNetwork(network, 1.7, unlike)(torch.from_numpy(images(3)))
    for place, name in enumerate(("probabilities", "logits", "unlikeness")):
        received = np.concatenate([row[place] for row in rows])
        np.testing.assert_allclose(received, expected[place].numpy(), atol=1e-4, err_msg=name)
    np.testing.assert_array_equal(many, np.concatenate([row[0] for row in rows]))
    assert OnnxDescription.model_validate(told) == describe()
