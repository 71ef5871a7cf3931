"""Optimizers by name.

The original report trained with Keras; the same name has to mean the same method here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tenfold.models.layers import MirrorConvolution
from tenfold.training.muon import KERNEL_LEARNING_RATE, Muon
from tenfold.training.settings import OptimizerName, TrainingSettings

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


class RMSprop(torch.optim.Optimizer):
    """RMSprop (Hinton 2012, lecture 6e) with epsilon under the root, as in Keras.

    ``torch.optim.RMSprop`` adds epsilon after the root. With Keras' epsilon of 1e-7 that is another
    method wherever gradients are small: at 1e-4 Keras' first step is a tenth of torch's.

    Parameters
    ----------
    params
        Parameters or groups of them.
    lr
        Learning rate; schedules set it in the groups.
    rho
        Decay of the running mean of squared gradients.
    epsilon
        Added to that mean under the root.
    momentum
        Decay of the running sum of steps; 0 keeps none.
    weight_decay
        Factor of the weights that is added to the gradient.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        rho: float = 0.9,
        epsilon: float = _EPSILON,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        own = {"lr": lr, "rho": rho, "epsilon": epsilon}
        super().__init__(params, {**own, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None, "the training loop computes gradients before the step"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean_square"] = torch.zeros_like(parameter)
            if group["momentum"]:
                state["velocity"] = torch.zeros_like(parameter)
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        mean_square: Tensor = state["mean_square"]
        mean_square.mul_(group["rho"]).addcmul_(gradient, gradient, value=1 - group["rho"])
        inverse_root = mean_square.add(group["epsilon"]).rsqrt_()
        if group["momentum"]:
            velocity: Tensor = state["velocity"]
            velocity.mul_(group["momentum"]).addcmul_(gradient, inverse_root, value=group["lr"])
            parameter.sub_(velocity)
        else:
            parameter.addcmul_(gradient, inverse_root, value=-group["lr"])
