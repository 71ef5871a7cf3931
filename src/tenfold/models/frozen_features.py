"""What a network offers whose head is fitted on its own, to features that stay as they are."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class FrozenFeatures(Protocol):
    """A network's body with a backbone and a linear head.

    Attributes
    ----------
    head
        The last layer: features in, logits out.
    uses_mirrored
        Whether the head is fitted to mirrored images too, where a mirror keeps the class.
    fine_tune_epochs
        Epochs that all weights are trained for once the head is fitted.
    """

    head: nn.Linear
    uses_mirrored: bool
    fine_tune_epochs: int

    def features(self, images: Tensor) -> Tensor:
        """Give what the head reads, shape (B, features), of normalised images (B, C, H, W)."""

    def logits(self, features: Tensor) -> Tensor:
        """Give logits (B, classes), float32, of features."""

    def features_key(self) -> str:
        """Give a digest of all that features depend on but the pixels and the weights."""

    def learning_rate_factors(self) -> dict[str, float]:
        """Give each parameter's share of the learning rate, by name: discriminative rates."""


def layer_of(parameter_name: str) -> str:
    """Give the layer of a parameter: its name up to the first number, or to its last dot.

    >>> layer_of("network.stages.3.1.project.weight")
    'network.stages.3'
    >>> layer_of("network.stem.weight")
    'network.stem'
    """
    parts = parameter_name.split(".")
    for place, part in enumerate(parts):
        if part.isdecimal():
            return ".".join(parts[: place + 1])
    return ".".join(parts[:-1])
