"""What an architecture offers, the registry of all, and a network with its preprocessing inside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tenfold.core.randomness import derive_seed
from tenfold.core.records.tuning import Ingredient, SearchDimension
from tenfold.core.registry import Registry
from tenfold.core.settings import Settings
from tenfold.data.dataset import Images
from tenfold.data.statistics import pixel_statistics
from tenfold.data.store import AnyImages


class NetworkBody(nn.Module):
    """What an architecture builds: normalised float images (B, C, H, W) in, logits out.

    A training asks what is declared here, and a body says otherwise where it is otherwise. It is
    exported by tracing: what depends on an image's height and width is chosen by ``if``, not
    computed, for there the sizes are tensors.
    """

    own_normalization: tuple[Tensor, Tensor] | None = None
    """Mean and standard deviation a channel, scale 0 to 255, that its weights expect; None for
    those of the training images."""

    @property
    def frozen(self) -> FrozenFeatures | None:
        """Give itself if its head is fitted to features that stay as they are."""
        return None

    def prepare(self, some_images: Callable[[], Tensor]) -> None:
        """Take what it starts with, before a training: published weights, say, or what it sees.

        Parameters
        ----------
        some_images
            Gives some normalised training images, float32, shape (B, C, H, W).
        """

    def learning_rate_factors(self) -> dict[str, float]:
        """Give each parameter's share of the learning rate, by name; empty for the whole of it."""
        return {}


class FrozenFeatures(NetworkBody):
    """A body with a backbone whose features stay as they are, and a head fitted on its own.

    Attributes
    ----------
    head
        The last layer: features in, logits out.
    uses_mirrored
        Whether the head is fitted to mirrored images too, where a mirror keeps the class.
    fine_tune_epochs
        Epochs that weights are trained for once the head is fitted.
    trained_stages
        How many of the backbone's last stages are trained then; None for all of it.
    fine_tune_views
        Augmented views of an image that are shown in turn, where the lower stages stay as they
        are: what those give of a view is computed once.
    image_size_px
        Height and width that images are resized to, inside.
    """

    head: nn.Linear
    uses_mirrored: bool
    fine_tune_epochs: int
    trained_stages: int | None
    fine_tune_views: int
    image_size_px: int

    @property
    def frozen(self) -> FrozenFeatures:
        """Give itself."""
        return self

    def features(self, images: Tensor) -> Tensor:
        """Give what the head reads, shape (B, features), of normalised images (B, C, H, W)."""
        raise NotImplementedError

    def features_key(self) -> str:
        """Give a digest of all that features depend on but the pixels and the weights."""
        raise NotImplementedError

    def lower(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give what stages that are not trained give: their last map and their means (B, any).

        Parameters
        ----------
        images
            Normalised, shape (B, C, H, W).
        """
        raise NotImplementedError

    def upper(self, maps: Tensor, means: Tensor) -> Tensor:
        """Give what the head reads, shape (B, features), of what `lower` gave."""
        raise NotImplementedError

    def logits(self, features: Tensor) -> Tensor:
        """Give logits (B, classes) of features, float32 whatever the features' type."""
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.head(features.float())
            return logits

    def forward(self, images: Tensor) -> Tensor:
        """Give logits, shape (B, classes), for normalised images (B, C, H, W)."""
        return self.logits(self.features(images))


class Model(ABC):
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
    fits_head: bool = False
    """Whether its bodies are `FrozenFeatures`."""
    large_image_size_px: int | None = None
    """What photographs are made as small as; None for what is worth any network's time."""
    budget_image_size_px: int | None = None
    """The same in a time budget, if that chooses the size that the network itself resizes to."""

    @abstractmethod
    def build(
        self,
        settings: Any,
        *,
        image_shape: tuple[int, int, int],
        class_count: int,
        generator: torch.Generator,
    ) -> NetworkBody:
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

        Raises
        ------
        ImageShapeError
            If the images are too small for the network's depth.
        """

    def suited_to(self, settings: Any, *, mirror_keeps_class: bool) -> Any:
        """Give the settings without what only suits images whose mirror images keep their class."""
        del mirror_keeps_class
        return settings


MODELS: Registry[Model] = Registry("tenfold.models", "MODEL", kind="model")
"""All architectures by name."""


class ImageNetwork(nn.Module):
    """Normalisation and network as one module, so that no user of the model can forget a half.

    Parameters
    ----------
    body
        Takes normalised images (B, C, H, W), gives logits (B, classes).
    mean, standard_deviation
        One value a channel, on the scale 0 to 255.
    """

    body: NetworkBody
    mean: Tensor
    scale: Tensor

    def __init__(self, body: NetworkBody, mean: Tensor, standard_deviation: Tensor) -> None:
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


@dataclass(frozen=True)
class NetworkPlan:
    """Which network is built for which images.

    Parameters
    ----------
    model
        Registered name of the architecture.
    settings
        Its settings.
    image_shape
        Height, width and channels.
    class_count
        Number of classes.
    """

    model: str
    settings: Settings
    image_shape: tuple[int, int, int]
    class_count: int

    @classmethod
    def parse(
        cls,
        model: str,
        settings: Mapping[str, Any],
        *,
        image_shape: tuple[int, int, int],
        class_count: int,
    ) -> NetworkPlan:
        """Check a model's name and plain settings.

        Raises
        ------
        UnknownNameError
            If there is no such model.
        SettingsError
            If a setting is unknown or not valid.
        """
        parsed = MODELS[model].settings_type.parse(settings, where="model")
        return cls(model, parsed, image_shape, class_count)

    def with_settings(self, changes: Mapping[str, Any]) -> NetworkPlan:
        """Give the plan with some of the model's settings replaced."""
        settings = type(self.settings).parse({**self.settings.plain(), **changes}, where="model")
        return replace(self, settings=settings)

    def suited_to(self, *, mirror_keeps_class: bool) -> NetworkPlan:
        """Give the plan without what only suits images whose mirror images keep their class."""
        suited = MODELS[self.model].suited_to(self.settings, mirror_keeps_class=mirror_keeps_class)
        return replace(self, settings=suited)

    def build(self, *, seed: int, mean: Tensor, standard_deviation: Tensor) -> ImageNetwork:
        """Build the network with fresh weights drawn from `seed`.

        Parameters
        ----------
        seed
            Of the initial weights.
        mean, standard_deviation
            To normalise by, one a channel, scale 0 to 255, if the network has none of its own.
        """
        generator = torch.Generator().manual_seed(derive_seed(seed, "weights"))
        body = MODELS[self.model].build(
            self.settings,
            image_shape=self.image_shape,
            class_count=self.class_count,
            generator=generator,
        )
        return ImageNetwork(body, *(body.own_normalization or (mean, standard_deviation)))

    def build_any(self) -> ImageNetwork:
        """Build the network with weights and normalisation that mean nothing yet."""
        channels = self.image_shape[2]
        return self.build(
            seed=0, mean=torch.zeros(channels), standard_deviation=torch.ones(channels)
        )

    def restore(self, tensors: Mapping[str, Tensor]) -> ImageNetwork:
        """Build the network and put stored weights in, normalisation included."""
        network = self.build_any()
        network.load_state_dict(dict(tensors))
        return network


def fit_normalization(
    images: AnyImages, method: Literal["scale", "standardize"]
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


def as_pixels(images: Images, device: torch.device) -> Tensor:
    """Give images as a uint8 tensor (N, C, H, W), channels last in memory.

    They are copied only where torch cannot take the array as it is: a view turned round, or a
    memory map opened for reading.
    """
    images = np.require(images, requirements=["C", "W"])
    if min(images.strides) < 0:  # NumPy calls a view of one row or column contiguous all the same
        images = images.copy()
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2)


def copied_weights(network: nn.Module) -> dict[str, Tensor]:
    """Give a copy of all of a network's tensors."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
