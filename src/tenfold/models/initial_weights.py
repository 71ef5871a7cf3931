"""Initial weights that keep signals steady through any depth."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def initialise_he(network: nn.Module, generator: torch.Generator) -> None:
    """Draw convolution kernels after He et al. (arXiv 1502.01852), normal, by outputs.

    Dense layers are drawn as torch draws them, with zero biases. Normalisation layers are left at
    scale 1 and shift 0.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(
                layer.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
        elif isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            nn.init.zeros_(layer.bias)
