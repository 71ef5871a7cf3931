"""Optimisers by name, with Keras' defaults where Keras has the optimiser.

The original report trained with Keras; the same name has to mean the same method here.
"""

from __future__ import annotations

import torch
from torch import nn

from tenfold.engine.training_settings import OptimizerName, TrainingSettings

DEFAULT_LEARNING_RATES: dict[OptimizerName, float] = {
    "adam": 1e-3,
    "adamw": 1e-3,
    "rmsprop": 1e-3,
    "sgd": 1e-2,
}
"""Keras' defaults (keras.io/api/optimizers)."""

_EPSILON = 1e-7  # Keras' default; torch's is 1e-8
_RMSPROP_DECAY = 0.9  # Keras' rho; torch's alpha is 0.99


def peak_learning_rate(settings: TrainingSettings) -> float:
    """Give the highest learning rate of the training."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    return DEFAULT_LEARNING_RATES[settings.optimizer]


def make_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Make the optimiser over all of the network's parameters."""
    matrices = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    rate = peak_learning_rate(settings)
    match settings.optimizer:
        case "adam":
            return torch.optim.Adam(groups, lr=rate, eps=_EPSILON, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, lr=rate, eps=_EPSILON, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(
                groups, lr=rate, alpha=_RMSPROP_DECAY, eps=_EPSILON, momentum=settings.momentum
            )
        case "sgd":
            return torch.optim.SGD(
                groups,
                lr=rate,
                momentum=settings.momentum,
                nesterov=settings.momentum > 0,
                fused=True,
            )
