"""What an architecture offers, and the registry of all architectures."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from tenfold.core.records.ablation import Ingredient
from tenfold.core.records.tune import SearchDimension
from tenfold.core.registry import Registry
from tenfold.core.settings import Settings


class Model(Protocol):
    """An architecture: its settings, their search ranges, and how to build it."""

    name: str
    summary: str
    """One line for people."""
    settings_type: type[Settings]
    search_space: tuple[SearchDimension, ...]
    """Ranges worth searching, each named ``model.SETTING``."""
    takes_any_size: bool
    """Whether a built network also takes images of another size than it was built for."""
    ingredients: tuple[Ingredient, ...]
    """What of its ideas its settings can switch off, for ``tenfold ablate``."""

    def build(
        self,
        settings: Any,
        *,
        image_shape: tuple[int, int, int],
        class_count: int,
        generator: torch.Generator,
    ) -> nn.Module:
        """Build the network with fresh weights.

        Parameters
        ----------
        settings
            An instance of `settings_type`.
        image_shape
            Height, width and channels.
        class_count
            Number of outputs.
        generator
            The only source of randomness of the initial weights.

        Returns
        -------
        nn.Module
            Takes normalised float images (B, C, H, W), gives logits (B, class_count). If it has a
            method ``fit(images)``, that is given some normalised training images before training.
            It is exported by tracing: what depends on an image's height and width is chosen by
            ``if``, not computed, for there the sizes are tensors.

        Raises
        ------
        ImageShapeError
            If the images are too small for the network's depth.
        """


MODELS: Registry[Model] = Registry("tenfold.models", "MODEL", kind="model")
"""All architectures by name."""
