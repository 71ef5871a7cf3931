"""Optimisers by name, with Keras' defaults where Keras has the optimiser.

The original report trained with Keras; the same name has to mean the same method here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tenfold.engine.muon import KERNEL_LEARNING_RATE, Muon
from tenfold.engine.rmsprop import RMSprop
from tenfold.engine.training_settings import OptimizerName, TrainingSettings
from tenfold.models.layers import MirrorConvolution

DEFAULT_LEARNING_RATES: dict[OptimizerName, float] = {
    "adam": 1e-3,
    "adamw": 1e-3,
    "muon": KERNEL_LEARNING_RATE,
    "rmsprop": 1e-3,
    "sgd": 1e-2,
}
"""Keras' defaults (keras.io/api/optimizers); Keras has no Muon."""

# Keras' default; torch's is 1e-8. Keras adds it before the bias correction of the second moment,
# torch after: for gradients of 1e-4 the first steps differ by about 3%, and less and less later.
_EPSILON = 1e-7


def peak_learning_rate(settings: TrainingSettings) -> float:
    """Give the highest learning rate of the training."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    return DEFAULT_LEARNING_RATES[settings.optimizer]


def make_optimizer(
    network: nn.Module,
    settings: TrainingSettings,
    *,
    precision: torch.dtype = torch.float32,
    factors: Mapping[str, float] | None = None,
) -> torch.optim.Optimizer:
    """Make the optimiser over all of the network's trainable parameters.

    Every group has its highest learning rate in ``peak_lr``, which schedules scale into ``lr``.
    `precision` is that of the training's matrix products, for an optimiser that has some of its
    own; `factors` give each parameter's share of the learning rate by its name, if they differ.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    rate = peak_learning_rate(settings)
    optimizer = _make(network, trainable, rate, settings, precision)
    for group in optimizer.param_groups:
        group.setdefault("peak_lr", group["lr"])
    if factors:
        by_id = {id(p): factors[name] for name, p in network.named_parameters()}
        optimizer.param_groups[:] = [
            part for group in optimizer.param_groups for part in _by_factor(group, by_id)
        ]
    return optimizer


def _by_factor(group: dict[str, Any], factors: Mapping[int, float]) -> list[dict[str, Any]]:
    """Split a group into one for each factor on the learning rate."""
    parts: dict[float, list[nn.Parameter]] = {}
    for parameter in group["params"]:
        parts.setdefault(factors[id(parameter)], []).append(parameter)
    return [
        {
            **group,
            "params": parameters,
            "lr": group["lr"] * factor,
            "peak_lr": group["peak_lr"] * factor,
        }
        for factor, parameters in parts.items()
    ]


def _make(
    network: nn.Module,
    trainable: list[nn.Parameter],
    rate: float,
    settings: TrainingSettings,
    precision: torch.dtype,
) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in trainable if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if p.dim() <= 1], "weight_decay": 0.0},
    ]
    match settings.optimizer:
        case "adam":
            return torch.optim.Adam(groups, lr=rate, eps=_EPSILON, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, lr=rate, eps=_EPSILON, fused=True)
        case "muon":
            return Muon(
                [parameter for parameter in trainable if parameter.dim() == 4],
                [parameter for parameter in trainable if parameter.dim() != 4],
                learning_rate=rate,
                batch_size=settings.batch_size,
                weight_decay=settings.weight_decay,
                is_scale_free=any(isinstance(m, nn.BatchNorm2d) for m in network.modules()),
                mirrors={
                    module.weight: module.mirrored
                    for module in network.modules()
                    if isinstance(module, MirrorConvolution)
                },
                precision=precision,
            )
        case "rmsprop":
            return RMSprop(groups, lr=rate, momentum=settings.momentum)
        case "sgd":
            return torch.optim.SGD(
                groups,
                lr=rate,
                momentum=settings.momentum,
                nesterov=settings.momentum > 0,
                fused=True,
            )
