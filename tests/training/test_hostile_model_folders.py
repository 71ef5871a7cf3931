"""Model folders made to harm: every file of one that is a pipe, endless or hostile is refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from tenfold.core.errors import ModelFolderError, RunFolderError
from tenfold.core.records.training import ModelData
from tenfold.models.model import NetworkPlan
from tenfold.training.model_folder import (
    CARD,
    MODEL_JSON,
    NEIGHBOURS,
    WEIGHTS,
    PackagedModel,
    describe_model,
    read_model_folder,
    write_model_folder,
)
from tenfold.training.settings import TrainingSettings
from tenfold.training.tensors import read_tensors

PLAN = NetworkPlan.parse(
    "cnn", {"conv_layers": 1, "filters": [4], "units": 5}, image_shape=(8, 10, 1), class_count=3
)
NETWORK = PLAN.build(seed=1, mean=torch.tensor([90.0]), standard_deviation=torch.tensor([50.0]))
FILES = (MODEL_JSON, WEIGHTS, CARD, NEIGHBOURS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record = describe_model(
        title="Shapes",
        plan=PLAN,
        weights=NETWORK.state_dict(),
        training=TrainingSettings(),
        classes=("a", "b", "c"),
        temperature=1.0,
        precision="float32",
        mirror_keeps_class=True,
        data=ModelData(
            title="Shapes",
            source="folder",
            description="",
            train_counts=(3, 3, 3),
            test_counts=(1, 1, 1),
            train_sha256="a" * 64,
            test_sha256=None,
        ),
    )
    path = tmp_path / "model"
    path.mkdir()
    write_model_folder(path, PackagedModel(record, NETWORK.state_dict(), "# A\n", b"neighbours"))
    return path


def with_weights(folder: Path, content: bytes) -> None:
    """Put other weights into a folder, with the hashes that they need."""
    (folder / WEIGHTS).write_bytes(content)
    values = json.loads((folder / MODEL_JSON).read_text(encoding="utf-8"))
    values["files"][WEIGHTS] = hashlib.sha256(content).hexdigest()
    values["digest"] = "0" * 64
    text = json.dumps(values, indent=2, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / MODEL_JSON).write_text(text.replace("0" * 64, digest, 1), encoding="utf-8")


def safetensors(header: dict[str, Any] | bytes, content: bytes = b"", *, size: int = -1) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size < 0 else size) + text + content


def tensor(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}}


def changed(**tensors: torch.Tensor) -> bytes:
    return save({**{n: t.contiguous() for n, t in NETWORK.state_dict().items()}, **tensors})


HOSTILE = {
    "a header of 2^63 bytes": safetensors(b"{}", size=2**63),
    "a header of 2^40 bytes": safetensors(b"{}", size=2**40),
    "a nested header": safetensors(b'{"a":' * 50_000),
    "offsets outside": safetensors(tensor("F32", [4], 0, 2**62)),
    "offsets that go back": safetensors(tensor("F32", [1], 4, 0), bytes(8)),
    "a shape that overflows": safetensors(tensor("F32", [2**40, 2**40], 0, 8), bytes(8)),
    "a negative shape": safetensors(tensor("F32", [-1], 0, 4), bytes(4)),
    "an unknown type": safetensors(tensor("Q9", [1], 0, 4), bytes(4)),
    "a rare type": safetensors(tensor("F8_E4M3", [4], 0, 4), bytes(4)),
    "more than it says": changed() + b"more",
    "nothing": b"",
    "no tensors": safetensors(b"{}"),
    "a pickle": b"\x80\x02cos\nsystem\n(S'true'\ntR.",
    "other tensors": save({"w": torch.zeros(3)}),
    "another shape": changed(mean=torch.zeros(0)),
    "whole numbers": changed(mean=torch.zeros(1, 1, 1, 1, dtype=torch.int64)),
    "complex numbers": changed(mean=torch.zeros(1, 1, 1, 1, dtype=torch.complex64)),
    "eight bits": changed(mean=torch.zeros(1, 1, 1, 1, dtype=torch.float8_e4m3fn)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_weights_with_the_right_hash_are_refused(folder: Path, name: str) -> None:
    with_weights(folder, HOSTILE[name])
    with pytest.raises(ModelFolderError) as caught:
        read_model_folder(folder).network()
    assert len(str(caught.value)) < 2000
    with contextlib.suppress(RunFolderError):  # and nothing else
        read_tensors(folder / WEIGHTS, torch.device("cpu"))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes and devices")
def test_a_pipe_a_device_or_an_endless_file_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ModelFolderError):
        read_model_folder(folder)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(ModelFolderError):
        read_model_folder(folder)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(10**12)  # Sparse: takes no space.
    with pytest.raises(ModelFolderError, match="bytes or more"):
        read_model_folder(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes and devices")
def test_a_checkpoint_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.safetensors")
    with pytest.raises(RunFolderError, match="a pipe or a device"):
        read_tensors(tmp_path / "w.safetensors", torch.device("cpu"))
