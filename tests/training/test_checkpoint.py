"""A checkpoint gives everything back, and what is no checkpoint of the training is refused."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tenfold.core.errors import RunFolderError, StorageError
from tenfold.core.records.training import EpochRecord
from tenfold.models.model import copied_weights
from tenfold.training.averaging import WeightAverage
from tenfold.training.checkpoint import (
    Checkpoint,
    TrainingState,
)
from tenfold.training.optimizers import make_optimizer
from tenfold.training.settings import OptimizerName, TrainingSettings
from tenfold.training.tensors import read_tensors, write_tensors

CPU = torch.device("cpu")

RECORD = EpochRecord(
    epoch=1,
    learning_rate=0.1,
    train_loss=1 / 3,  # has no short decimal form: JSON has to keep every bit
    train_accuracy=0.7,
    validation_loss=None,
    validation_accuracy=2 / 3,
    seconds=1.5,
)


def small_network(seed: int = 0, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, 2, 2))
    result: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return result


def make(
    optimizer: OptimizerName = "adam", *, steps: int = 2, seed: int = 0, width: int = 4
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Give a network after some steps, and its optimiser."""
    network = small_network(seed, width)
    made = make_optimizer(network, TrainingSettings(optimizer=optimizer, momentum=0.9))
    for _ in range(steps):
        made.zero_grad()
        network(torch.randn(2, 3, 6, 6)).square().mean().backward()
        made.step()
    return network, made


def state() -> TrainingState:
    return TrainingState(
        epoch=1,
        step=2,
        loss_sum=0.1 + 0.2,
        correct=5,
        epoch_seconds=0.25,
        history=[RECORD],
        best_epoch=0,
        best_weights={"weight": torch.tensor([1.0, 2.0])},
        average=WeightAverage(copied_weights(small_network(seed=3)), 7),
    )


@pytest.mark.parametrize("optimizer", get_args(OptimizerName))
def test_everything_comes_back(optimizer: OptimizerName, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    network, made = make(optimizer)
    checkpoint.save(state(), network, made)

    other_network, other = make(optimizer, steps=0, seed=1)
    loaded = checkpoint.load(other_network, other, CPU)

    assert loaded is not None
    assert torch.equal(loaded.best_weights.pop("weight"), torch.tensor([1.0, 2.0]))
    expected = state()
    expected.best_weights = {}
    assert loaded.average.steps == 7
    _assert_same(loaded.average.weights, expected.average.weights)
    loaded.average = expected.average = WeightAverage()
    assert loaded == expected
    _assert_same(other_network.state_dict(), network.state_dict())
    stored, restored = made.state_dict()["state"], other.state_dict()["state"]
    assert stored.keys() == restored.keys() != set()
    for index in stored:
        assert stored[index].keys() == restored[index].keys()
        _assert_same(restored[index], stored[index])


def _assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for name, tensor in theirs.items():
        if tensor is not None:
            assert torch.equal(ours[name], tensor), name
            assert ours[name].dtype == tensor.dtype, name
            assert ours[name].stride() == tensor.stride(), name  # fused steps walk the memory


def test_there_may_be_no_checkpoint(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path / "none.safetensors").load(*make(), CPU) is None


def test_a_failed_write_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    checkpoint.save(state(), *make())
    before = checkpoint.path.read_bytes()

    def full_disk(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full_disk)
        with pytest.raises(StorageError, match="The disk is full"):
            checkpoint.save(state(), *make(steps=5))
    assert checkpoint.path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [checkpoint.path]


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    checkpoint.save(state(), *make())
    with pytest.raises(RunFolderError, match="does not fit this training") as caught:
        checkpoint.load(*make(width=5), CPU)
    assert str(checkpoint.path) in str(caught.value)
    assert "remove it to begin this training again" in str(caught.value)


def test_a_checkpoint_of_another_optimizer_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    checkpoint.save(state(), *make("adam"))
    with pytest.raises(RunFolderError, match="its optimiser is Adam"):
        checkpoint.load(*make("sgd"), CPU)


@pytest.mark.parametrize(
    ("key", "tensor"),
    [
        ("optimizer.0.exp_avg", torch.zeros(7)),
        ("optimizer.99.exp_avg", torch.zeros(7)),
        ("optimizer.first.exp_avg", torch.zeros(7)),
        ("network.0.weight", torch.zeros(7)),
        ("network.unknown", torch.zeros(7)),
        ("average.0.weight", torch.zeros(7)),
    ],
)
def test_tensors_that_do_not_fit_are_refused(key: str, tensor: Tensor, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    checkpoint.save(state(), *make())
    tensors, texts = read_tensors(checkpoint.path, CPU)
    write_tensors(checkpoint.path, {**tensors, key: tensor}, texts)
    with pytest.raises(RunFolderError, match="does not fit this training"):
        checkpoint.load(*make(), CPU)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "",
        "{",
        "[]",
        "1",
        '"text"',
        "null",
        "{}",
        '{"optimizer": "Adam"}',
        '{"optimizer": "Adam", "history": 3}',
        '{"optimizer": "Adam", "history": [{"epoch": 1}]}',
        '{"optimizer": "Adam", "history": [], "unknown": 1}',
    ],
)
def test_metadata_that_is_not_ours_is_refused(metadata: str | None, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    checkpoint.save(state(), *make())
    tensors, _ = read_tensors(checkpoint.path, CPU)
    write_tensors(checkpoint.path, tensors, {} if metadata is None else {"tenfold": metadata})
    with pytest.raises(RunFolderError, match="does not fit this training"):
        checkpoint.load(*make(), CPU)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    checkpoint = Checkpoint(tmp_path_factory.mktemp("stored") / "state.safetensors")
    checkpoint.save(state(), *make())
    return checkpoint


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_cut_file_is_refused(share: float, stored: Checkpoint) -> None:
    content = stored.path.read_bytes()
    cut = Checkpoint(stored.path.with_name("cut.safetensors"))
    cut.path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunFolderError, match="cannot be read as weights"):
        cut.load(*make(steps=0), CPU)


@given(data=st.data())
def test_a_damaged_header_is_refused_or_still_a_state(
    data: st.DataObject, stored: Checkpoint
) -> None:
    content = bytearray(stored.path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for place in data.draw(st.sets(st.integers(0, header - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    damaged = Checkpoint(stored.path.with_name("damaged.safetensors"))
    damaged.path.write_bytes(content)
    try:
        loaded = damaged.load(*make(steps=0), CPU)
    except RunFolderError as error:
        message = str(error)
    else:
        message = ""
        assert isinstance(loaded, TrainingState)
    assert not message or str(damaged.path) in message


def test_weights_that_are_missing_say_so(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(RunFolderError, match=re.escape(f"{path} cannot be read as weights")):
        read_tensors(path, CPU)


def test_tensors_and_texts_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"weights \xff.safetensors")
    tensors = {
        "half": torch.randn(3, 2).bfloat16(),
        "turned": torch.arange(6.0).view(2, 3).t(),
        "number": torch.tensor(4),
        "grown": nn.Parameter(torch.ones(2)),
    }
    write_tensors(path, tensors, {"note": json.dumps({"é": 1})})
    restored, texts = read_tensors(path, CPU)
    assert restored.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(restored[name], tensor)
        assert restored[name].dtype == tensor.dtype
    assert json.loads(texts["note"]) == {"é": 1}
