"""Grad-CAM: which places of an image speak for a class, for any network with spatial maps.

Selvaraju and others, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization" (arXiv 1610.02391): a map's channels, each weighted by the mean of the class score's
gradient over all places, are added up, and what is negative is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from tenfold.data.dataset import Images
from tenfold.models.model import ImageNetwork, as_pixels
from tenfold.training.device import Device

_LEAST_SIDE_PX = 4
"""Of the map that is taken, if there is one: on a map of 2 × 2 everything lies everywhere."""
_BATCH = 64  # gradients keep every activation, so fewer than in inference

HeatMaps = npt.NDArray[np.float32]
"""Shape (N, H, W), from 0 to 1, the largest of each 1; all 0 where nothing speaks for the class."""


@dataclass(frozen=True)
class SpatialLayer:
    """A place in a network where the features are a map.

    Parameters
    ----------
    name
        The module's, as `named_modules` gives it.
    call
        Which of its calls in one pass, from 0: a module may be used more than once.
    shape
        Channels, height and width of the map, for images of the size it was found with.
    """

    name: str
    call: int
    shape: tuple[int, int, int]


def find_spatial_layer(
    network: ImageNetwork, image_shape: tuple[int, int, int]
) -> SpatialLayer | None:
    """Find the last map that is at least 4 × 4, or else the last that is larger than 1 × 1.

    The network is run once and watched, so its architecture does not matter.

    Parameters
    ----------
    network
        Any network.
    image_shape
        Height, width and channels.

    Returns
    -------
    SpatialLayer or None
        None if the network has no such map.
    """
    height, width, channels = image_shape
    seen: list[SpatialLayer] = []
    calls: dict[str, int] = {}

    def watch(name: str, output: object) -> None:
        call = calls.get(name, 0)
        calls[name] = call + 1
        if isinstance(output, Tensor) and output.dim() == 4 and output.is_floating_point():
            size = tuple(output.shape[1:])
            if min(size[1:]) > 1:
                seen.append(SpatialLayer(name, call, (size[0], size[1], size[2])))

    handles = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: watch(name, output)
        )
        for name, module in network.body.named_modules()
        if name
    ]
    was_training = network.training
    network.eval()
    try:
        device = next(network.buffers()).device
        with torch.no_grad():
            network(torch.zeros(1, channels, height, width, dtype=torch.uint8, device=device))
    finally:
        for handle in handles:
            handle.remove()
        network.train(was_training)
    large = [layer for layer in seen if min(layer.shape[1:]) >= _LEAST_SIDE_PX]
    found = large or seen
    return found[-1] if found else None


def heat_maps(
    network: ImageNetwork,
    images: Images,
    classes: npt.NDArray[np.int64],
    *,
    device: Device,
    layer: SpatialLayer,
) -> HeatMaps:
    """Give for each image how much each place speaks for a class.

    Computed in float32, in evaluation mode.

    Parameters
    ----------
    network
        On `device`.
    images
        uint8, shape (N, H, W, C).
    classes
        int64, shape (N,): the class to explain of each image.
    device
        Where to compute.
    layer
        From `find_spatial_layer`.

    Returns
    -------
    float32, shape (N, H, W).
    """
    was_training = network.training
    network.eval()
    parts = [np.zeros((0, *images.shape[1:3]), np.float32)]
    try:
        for start in range(0, len(images), _BATCH):
            block = images[start : start + _BATCH]
            chosen = torch.from_numpy(classes[start : start + _BATCH]).to(device.torch_device)
            parts.append(_block(network, as_pixels(block, device.torch_device), chosen, layer))
    finally:
        network.train(was_training)
    return np.concatenate(parts)


def _block(
    network: ImageNetwork, pixels: Tensor, classes: Tensor, layer: SpatialLayer
) -> npt.NDArray[np.float32]:
    module: nn.Module = network.body.get_submodule(layer.name)
    kept: list[Tensor] = []
    calls = 0

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
        nonlocal calls
        calls += 1
        if calls - 1 != layer.call:
            return None
        # Images need no gradient; where all weights are frozen, this is where gradients begin.
        kept.append(output if output.requires_grad else output.detach().requires_grad_())
        return kept[0].clone()  # what follows may change it in place

    handle = module.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = network(pixels)
            scores = logits.gather(1, classes[:, None]).sum()
            (gradients,) = torch.autograd.grad(scores, kept[0])  # (B, C, h, w)
    finally:
        handle.remove()
    weights = gradients.mean((2, 3), keepdim=True)
    raw = (weights * kept[0].detach()).sum(1, keepdim=True).relu().float()  # (B, 1, h, w)
    full = functional.interpolate(raw, pixels.shape[2:], mode="bilinear", align_corners=False)
    largest = full.amax((2, 3), keepdim=True)
    scaled = torch.where(largest > 0, full / largest.clamp_min(torch.finfo().tiny), full)
    result: npt.NDArray[np.float32] = scaled[:, 0].cpu().numpy()
    return result
