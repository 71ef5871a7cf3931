"""RMSprop as Keras computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


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
        epsilon: float = 1e-7,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "epsilon": epsilon,
                "momentum": momentum,
                "weight_decay": weight_decay,
            },
        )

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
