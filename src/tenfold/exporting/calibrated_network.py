"""All between pixels and probabilities as one module, so that nothing can be left outside."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tenfold.models.model import ImageNetwork


class CalibratedNetwork(nn.Module):
    """Images as arrays hold them in, calibrated probabilities out.

    Parameters
    ----------
    network
        Normalisation and network.
    temperature
        Logits are divided by it before the softmax; None for 1.
    """

    def __init__(self, network: ImageNetwork, temperature: float | None) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature or 1.0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give probabilities and logits.

        Parameters
        ----------
        images
            uint8, shape (N, H, W, C).

        Returns
        -------
        probabilities
            float32, shape (N, classes).
        logits
            float32, shape (N, classes), before the temperature.
        """
        logits: Tensor = self.network(images.permute(0, 3, 1, 2).float())  # (N, classes)
        return torch.softmax(logits / self.temperature, dim=1), logits
