"""A network with its preprocessing inside: pixels in, logits out."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from tenfold.data.dataset import Images
from tenfold.data.statistics import pixel_statistics


class ImageNetwork(nn.Module):
    """Normalisation and network as one module, so that no user of the model can forget a half.

    Parameters
    ----------
    body
        Takes normalised images (B, C, H, W), gives logits (B, classes).
    mean, standard_deviation
        One value a channel, on the scale 0 to 255.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, body: nn.Module, mean: Tensor, standard_deviation: Tensor) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", mean.view(1, -1, 1, 1))
        self.register_buffer("scale", (1 / standard_deviation).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Give logits.

        Parameters
        ----------
        pixels
            uint8 or float, shape (B, C, H, W), scale 0 to 255.

        Returns
        -------
        Tensor
            Logits, shape (B, classes), float32.
        """
        logits: Tensor = self.body(self.normalized(pixels))
        return logits.float()

    def normalized(self, pixels: Tensor) -> Tensor:
        """Give what the body sees, float32, the pixels' shape."""
        return (pixels.float() - self.mean) * self.scale


def fit_normalization(
    images: Images, method: Literal["scale", "standardize"]
) -> tuple[Tensor, Tensor]:
    """Give mean and standard deviation to normalise by, one a channel, scale 0 to 255.

    Parameters
    ----------
    images
        The training images alone: what is fitted may not see the others.
    method
        ``scale`` maps pixels to 0..1; ``standardize`` to mean 0 and standard deviation 1.
    """
    channels = images.shape[3]
    if method == "scale":
        return torch.zeros(channels), torch.full((channels,), 255.0)
    statistics = pixel_statistics(images, np.zeros(len(images), np.int64), 1)
    means = np.asarray(statistics.channel_means)
    deviations = np.asarray(statistics.channel_standard_deviations)
    # A constant channel has deviation 0; its pixels become 0 rather than infinite.
    safe = np.where(deviations > 0, deviations, 1 / 255)
    return (
        torch.tensor(means * 255, dtype=torch.float32),
        torch.tensor(safe * 255, dtype=torch.float32),
    )
