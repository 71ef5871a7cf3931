"""The state that a training resumes from, and the averages of weights that it keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from tenfold.core.errors import RunFolderError
from tenfold.core.files import MOST_MODEL_BYTES, read_regular_file, write_bytes
from tenfold.core.records.training import EpochRecord
from tenfold.training.settings import TrainingSettings

_METADATA_KEY = "tenfold"


@dataclass
class WeightAverage:
    """A running average of a network's weights, float buffers included.

    Parameters
    ----------
    weights
        The average, by the names of the network's tensors; empty until the first step is taken in.
    steps
        How many steps it has taken in.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0

    @torch.no_grad()
    def update(self, network: nn.Module, settings: TrainingSettings, progress: float) -> None:
        """Take the network's weights in after a step, if the settings ask for it at this point.

        Parameters
        ----------
        network
            Whose weights.
        settings
            `averaging` and what belongs to it.
        progress
            Share of the training that was done in the middle of the step, 0 to 1.
        """
        if not is_averaging(settings, progress):
            return
        share = _newest_share(settings, self.steps)
        self.steps += 1
        if not self.weights:
            self.weights = copied_weights(network)
            return
        for name, newest in network.state_dict().items():
            if newest.is_floating_point():
                self.weights[name].lerp_(newest, share)
            else:
                self.weights[name].copy_(newest)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Lend the network the average; its own weights are back, bit for bit, afterwards."""
        if not self.weights:
            yield
            return
        own = copied_weights(network)
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def adopt_layout(self, network: nn.Module) -> None:
        """Lay the tensors out in memory as the network's are, after they were read from a file.

        The same sum may be rounded otherwise where two tensors are walked through in different
        orders, and a resumed training has to be the same bit for bit.

        Raises
        ------
        KeyError, RuntimeError
            If the average is not of this network.
        """
        if self.weights:
            self.weights = {
                name: torch.empty_like(tensor).copy_(self.weights[name])
                for name, tensor in network.state_dict().items()
            }


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
        write_tensors(self.path, tensors, {_METADATA_KEY: json.dumps(metadata)})

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
        try:
            tensors, texts = read_tensors(self.path, device)
            metadata = json.loads(texts[_METADATA_KEY])
            if (stored := metadata.pop("optimizer")) != type(optimizer).__name__:
                raise ValueError(f"its optimiser is {stored}")
            network.load_state_dict(_with_prefix(tensors, "network."))
            _restore_optimizer(optimizer, _with_prefix(tensors, "optimizer."))
            average = WeightAverage(
                _with_prefix(tensors, "average."), metadata.pop("averaged_steps")
            )
            average.adopt_layout(network)
            history = [EpochRecord.model_validate(epoch) for epoch in metadata.pop("history")]
            return TrainingState(
                **metadata,
                history=history,
                best_weights=_with_prefix(tensors, "best."),
                average=average,
            )
        except (LookupError, AttributeError, ValueError, TypeError, RuntimeError) as error:
            raise RunFolderError(
                f"The checkpoint {self.path} does not fit this training ({error}). It was changed "
                "by hand or damaged: remove it to begin this training again."
            ) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file, atomically."""
    whole = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    # Not `save_file`: on a full disk it raises an error that does not say so.
    write_bytes(path, save(whole, metadata))


def read_tensors(path: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors and the metadata of a safetensors file.

    Raises
    ------
    RunFolderError
        If the file is missing or damaged.
    """
    try:
        # Not `safe_open`: it opens no path that is no UTF-8.
        content = read_regular_file(path, MOST_MODEL_BYTES)
        tensors = {name: tensor.to(device) for name, tensor in load(content).items()}
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return tensors, header.get("__metadata__") or {}
    except (OSError, SafetensorError) as error:
        raise RunFolderError(
            f"{path} cannot be read as weights ({error}). It is missing or damaged; run the "
            "command that made it again."
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


def is_averaging(settings: TrainingSettings, progress: float) -> bool:
    """Say whether the step at this share of the training is taken into the average."""
    match settings.averaging:
        case "none":
            return False
        case "ema":
            return True
        case "swa":
            return progress >= 1 - settings.swa_share


def _newest_share(settings: TrainingSettings, steps: int) -> float:
    """Give what the newest weights count for beside an average of `steps` steps."""
    if settings.averaging == "swa":
        # The paper takes an epoch's last weights. Those of every step are a denser sample of the
        # same path, and a training of four epochs has something to average.
        return 1 / (steps + 1)
    # A young average forgets faster, or it would hold the fresh network for long: after
    # tf.train.ExponentialMovingAverage (num_updates).
    return 1 - min(settings.ema_decay, (1 + steps) / (10 + steps))


def held_progress(settings: TrainingSettings, progress: float) -> float:
    """Give the share of the training that schedules are asked for.

    Stochastic weight averaging needs steps that still go somewhere (arXiv 1803.05407, section 3.2),
    so the learning rate stays where the averaging begins.
    """
    return min(progress, 1 - settings.swa_share) if settings.averaging == "swa" else progress


def copied_weights(network: nn.Module) -> dict[str, Tensor]:
    """Give a copy of all of a network's tensors."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
