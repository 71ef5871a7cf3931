"""Features of a trained network: what its last linear layer reads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tenfold.data.dataset import Images
from tenfold.engine.device import Device
from tenfold.engine.frozen_features import frozen_features, logits_of_features
from tenfold.engine.inference import INFERENCE_BATCH_SIZE, logit_blocks
from tenfold.models.model import ImageNetwork


@torch.inference_mode()
def features_and_logits(
    network: ImageNetwork,
    images: Images,
    *,
    device: Device,
    precision: torch.dtype = torch.float32,
    batch_size: int = INFERENCE_BATCH_SIZE,
    on_block: Callable[[int], None] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Give the input of the linear layer that the network runs last, and its logits.

    In evaluation mode.

    Any architecture will do: the layer is found by watching which one runs last, not by its name.
    A network without a linear layer gives its logits instead.

    Parameters
    ----------
    network
        The trained network.
    images
        uint8, shape (N, H, W, C).
    device, precision, batch_size
        As in `predict_logits`.
    on_block
        Told the number of images of each block that is done.

    Returns
    -------
    features
        float32, shape (N, any).
    logits
        float32, shape (N, classes).
    """
    if network.body.frozen is not None:
        known = frozen_features(
            network, images, device=device, precision=precision, on_images=on_block
        )
        return known.float().numpy(), logits_of_features(network, known, device).numpy()
    features: list[npt.NDArray[np.float32]] = []
    logits: list[npt.NDArray[np.float32]] = []
    seen: list[Tensor] = []

    def watch(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[:] = inputs[:1]

    handles = [
        layer.register_forward_pre_hook(watch)
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        for output in logit_blocks(
            network, images, device=device, precision=precision, batch_size=batch_size
        ):
            last = seen[0] if seen else output
            features.append(last.flatten(1).float().cpu().numpy())
            logits.append(output.cpu().numpy())
            if on_block is not None:
                on_block(len(output))
    finally:
        for handle in handles:
            handle.remove()
    return np.concatenate(features), np.concatenate(logits)
