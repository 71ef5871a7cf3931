"""How far a training is, the file that it resumes from, and what it gives in the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from tenfold.core.errors import RunFolderError
from tenfold.core.files import write_bytes
from tenfold.core.records.training import EpochRecord
from tenfold.training.averaging import WeightAverage
from tenfold.training.tensors import packed_tensors, read_tensors, unpacked_tensors

_METADATA_KEY = "tenfold"


@dataclass
class TrainingState:
    """How far a training is.

    Parameters
    ----------
    epoch, step
        The next step to do: `epoch` counts from 0, `step` within the epoch from 0.
    loss_sum, correct
        Sums over the images of the running epoch.
    epoch_seconds
        Time spent on the running epoch.
    elapsed_seconds
        Time spent on the training so far, start-up included; what a time budget counts.
    history
        The epochs that are complete.
    best_epoch
        Index in `history` of the best validation accuracy; None without validation.
    best_weights
        The network's tensors after that epoch.
    average
        The average of the weights so far; empty where none is kept.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    epoch_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    history: list[EpochRecord] = field(default_factory=list)
    best_epoch: int | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    average: WeightAverage = field(default_factory=WeightAverage)


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave; the network holds the last epoch's weights, or their average.

    Parameters
    ----------
    history
        One record an epoch.
    best_epoch
        Epoch, counted from 1, with the best validation accuracy; None without validation.
    best_weights
        The network's tensors after that epoch, or their average then; empty without validation.
    is_averaged
        Whether the network holds an average of the weights along the training.
    stopped_early
        Whether the training ended because it got no better.
    """

    history: tuple[EpochRecord, ...]
    best_epoch: int | None
    best_weights: dict[str, Tensor]
    is_averaged: bool = False
    stopped_early: bool = False

    @property
    def seconds(self) -> float:
        """Give the training time, validation included, all sessions added up."""
        return sum(epoch.seconds for epoch in self.history)

    @property
    def epochs(self) -> float:
        """Give the passes over the training images; a time budget may end amid one."""
        return sum(epoch.share for epoch in self.history)


@dataclass(frozen=True)
class Checkpoint:
    """The file of one training's state."""

    path: Path

    def save(
        self, state: TrainingState, network: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        """Write state, weights and the optimiser's tensors, atomically."""
        self.write(pack_state(state, network, optimizer))

    def write(self, content: bytes) -> None:
        """Write what `pack_state` gave, atomically."""
        # Not safetensors' `save_file`: on a full disk it raises an error that does not say so.
        write_bytes(self.path, content)

    def load(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
    ) -> TrainingState | None:
        """Put weights and optimiser back and give the state; None if there is no checkpoint.

        Raises
        ------
        RunFolderError
            If the file is damaged, or of another network or optimiser.
        """
        if not self.path.is_file():
            return None
        with _said_of(self.path):
            return _restored(*read_tensors(self.path, device), network, optimizer)


def pack_state(state: TrainingState, network: nn.Module, optimizer: torch.optim.Optimizer) -> bytes:
    """Give state, weights and the optimiser's tensors as a checkpoint's content."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best_weights.items()}
    tensors |= {f"average.{name}": tensor for name, tensor in state.average.weights.items()}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if value is not None:  # SGD without momentum keeps a None
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    metadata = {
        "optimizer": type(optimizer).__name__,
        "epoch": state.epoch,
        "step": state.step,
        "loss_sum": state.loss_sum,
        "correct": state.correct,
        "epoch_seconds": state.epoch_seconds,
        "elapsed_seconds": state.elapsed_seconds,
        "best_epoch": state.best_epoch,
        "averaged_steps": state.average.steps,
        "history": [epoch.model_dump() for epoch in state.history],
    }
    return packed_tensors(tensors, {_METADATA_KEY: json.dumps(metadata)})


def unpack_state(
    content: bytes, network: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> TrainingState:
    """Put weights and optimiser back out of what `pack_state` gave, and give the state."""
    return _restored(*unpacked_tensors(content, device), network, optimizer)


def _restored(
    tensors: dict[str, Tensor],
    texts: dict[str, str],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> TrainingState:
    metadata = json.loads(texts[_METADATA_KEY])
    if (stored := metadata.pop("optimizer")) != type(optimizer).__name__:
        raise ValueError(f"its optimiser is {stored}")
    network.load_state_dict(_with_prefix(tensors, "network."))
    _restore_optimizer(optimizer, _with_prefix(tensors, "optimizer."))
    average = WeightAverage(_with_prefix(tensors, "average."), metadata.pop("averaged_steps"))
    average.adopt_layout(network)
    history = [EpochRecord.model_validate(epoch) for epoch in metadata.pop("history")]
    return TrainingState(
        **metadata,
        history=history,
        best_weights=_with_prefix(tensors, "best."),
        average=average,
    )


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """Tell of a checkpoint that is not this training's."""
    try:
        yield
    except (LookupError, AttributeError, ValueError, TypeError, RuntimeError) as error:
        raise RunFolderError(
            f"The checkpoint {path} does not fit this training ({error}). It was changed "
            "by hand or damaged: remove it to begin this training again."
        ) from error


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)]
        values = state.setdefault(int(index), {})
        if tensor.shape == parameter.shape:
            # In the parameter's memory layout: a fused optimiser walks through the memory of both
            # side by side, and pairs wrong elements, without an error, where the layouts differ.
            values[name] = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        elif tensor.dim() == 0:  # the counter of steps
            values[name] = tensor
        else:
            raise ValueError(f"{key} has shape {tuple(tensor.shape)}")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
