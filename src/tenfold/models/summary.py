"""A network's layers as a table: kind, output shape, parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tenfold.core.records.train import LayerRecord


@torch.no_grad()
def summarize_layers(
    network: nn.Module, image_shape: tuple[int, int, int]
) -> tuple[LayerRecord, ...]:
    """Give one record a leaf layer, in the order in which they compute.

    Parameters
    ----------
    network
        Takes images (B, C, H, W); left as it was.
    image_shape
        Height, width and channels of an image.
    """
    records: list[LayerRecord] = []

    def note(name: str, layer: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor) and not isinstance(layer, nn.Identity):
            records.append(
                LayerRecord(
                    name=name,
                    kind=type(layer).__name__,
                    output_shape=tuple(output.shape[1:]),
                    parameters=sum(parameter.numel() for parameter in layer.parameters()),
                )
            )

    hooks = [
        layer.register_forward_hook(
            lambda layer, _inputs, output, name=name: note(name, layer, output)
        )
        for name, layer in network.named_modules()
        if not list(layer.children())
    ]
    was_training = network.training
    height, width, channels = image_shape
    try:
        device = next(network.parameters()).device
        network.eval()(torch.zeros(1, channels, height, width, device=device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return tuple(records)
