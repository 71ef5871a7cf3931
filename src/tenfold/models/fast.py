"""The fast network: patch whitening, then three short convolution groups; made for few minutes.

Sources: Keller Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv 2404.00498):
whitening of patches, identity-initialised convolutions, batch norm without scales, scaled output.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from tenfold.core.records.ablation import Ablation
from tenfold.core.records.tune import SearchDimension
from tenfold.core.settings import Settings
from tenfold.models.batch_norm import BatchNorm

Width = Annotated[int, Field(ge=1, le=4096)]
Depth = Annotated[int, Field(ge=1, le=8)]

_FIRST_MAP_PX = 32
"""Larger images are cut into patches at a stride, so that the first map has about this size."""
_WHITENED_DIRECTIONS = 12
"""Principal directions that are kept: all of a 2 × 2 patch of three channels."""
_WHITENING_EPSILON = 5e-4
"""Added to the patches' variances, so that nearly constant directions are not blown up
(arXiv 2404.00498)."""


class FastSettings(Settings):
    """Settings of the fast network.

    Attributes
    ----------
    widths
        Output channels of the three groups.
    depths
        Convolutions of each group; from the third on with a residual connection (as airbench96 has
        it). One more where the map is smallest costs little (docs/experiments.md).
    norm_momentum
        Share of the running means and variances that one batch replaces.
    is_whitened
        Whether the first layer is fitted to the training images' patches; else it is a convolution
        of the same shape that is learned.
    is_identity_initialized
        Whether the first kernels of a convolution pass their input on at the start.
    has_norm_scales
        Whether batch norm learns a scale a channel, beside its bias.
    pools_first
        Whether a group pools right after its first convolution; else at its end.
    has_residuals
        Whether the third convolution of a group, and later ones, add their input to their output.
    """

    widths: tuple[Width, Width, Width] = (64, 256, 256)
    depths: tuple[Depth, Depth, Depth] = (2, 2, 3)
    norm_momentum: float = Field(0.1, gt=0, le=1)
    is_whitened: bool = True
    is_identity_initialized: bool = True
    has_norm_scales: bool = False
    pools_first: bool = True
    has_residuals: bool = True


ABLATIONS = (
    Ablation(
        name="whitening",
        title="Whitened patches (else a learned layer)",
        changes={"model.is_whitened": False},
    ),
    Ablation(
        name="identity-initialization",
        title="Identity-initialised convolutions",
        changes={"model.is_identity_initialized": False},
    ),
    Ablation(
        name="frozen-norm-scales",
        title="Batch norm without scales",
        changes={"model.has_norm_scales": True},
    ),
    Ablation(
        name="early-pooling",
        title="Pooling early in a group",
        changes={"model.pools_first": False},
    ),
    Ablation(
        name="residuals", title="Residual connections", changes={"model.has_residuals": False}
    ),
    Ablation(
        name="third-convolution",
        title="Third convolution of the last group",
        changes={"model.depths": [2, 2, 2]},
    ),
)
"""Ideas of the network, and the settings that switch each off."""


class PatchWhitening(nn.Module):
    """Projects patches onto their principal directions, each scaled to unit variance, and back.

    The directions come from training images (`fit`) and stay as they are; every one is there twice,
    with both signs, so that a rectifier loses nothing (arXiv 2404.00498, section 3.1).

    Parameters
    ----------
    channels
        Of the images.
    stride, patch_px
        Pixels between patches; pixels of a patch's height and width.
    """

    weight: Tensor

    def __init__(self, channels: int, *, stride: int, patch_px: int) -> None:
        super().__init__()
        self.stride = stride
        self.patch_px = patch_px
        values = channels * self.patch_px**2
        self.directions = min(values, _WHITENED_DIRECTIONS)
        pixels = torch.eye(values)[: self.directions]  # until it is fitted
        shape = (2 * self.directions, channels, self.patch_px, self.patch_px)
        self.register_buffer("weight", torch.cat((pixels, -pixels)).view(shape))

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Find the directions.

        Parameters
        ----------
        images
            Normalised, float32, shape (B, C, H, W).
        """
        patches = functional.unfold(images, self.patch_px, stride=self.stride)  # (B, values, N)
        rows = patches.transpose(1, 2).flatten(0, 1).double()  # (patches, values)
        variances, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))  # ascending
        scaled = vectors / (variances.clamp_min(0) + _WHITENING_EPSILON).sqrt()
        kept = scaled.T.flip(0)[: self.directions].reshape(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat((kept, -kept)))

    def forward(self, images: Tensor) -> Tensor:
        """Give whitened patches, shape (B, 2 × directions, H', W')."""
        return functional.conv2d(images, self.weight.to(images.dtype), stride=self.stride)


class _Group(nn.Module):
    """Convolution, pooling, then further convolutions, each with batch norm and activation."""

    def __init__(self, channels: int, width: int, depth: int, settings: FastSettings) -> None:
        super().__init__()
        self.pools_first = settings.pools_first
        self.has_residuals = settings.has_residuals
        self.pooling = nn.MaxPool2d(2)
        self.activation = nn.SiLU()  # as hiverge/cifar10-speedrun; half of GELU's time on a CPU
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels if layer == 0 else width, width, 3, padding=1, bias=False)
            for layer in range(depth)
        )
        self.norms = nn.ModuleList(_norm(width, settings) for _ in range(depth))

    def forward(self, features: Tensor) -> Tensor:
        start = features
        for layer, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            features = convolution(features)
            if layer == 0 and self.pools_first:
                features = self._pooled(features)
            features = norm(features)
            if layer >= 2 and self.has_residuals:
                features = features + start
            features = self.activation(features)
            if layer == 0 or layer >= 2:
                start = features
        return features if self.pools_first else self._pooled(features)

    def _pooled(self, features: Tensor) -> Tensor:
        pooled: Tensor = self.pooling(features) if min(features.shape[2:]) > 1 else features
        return pooled


def _norm(width: int, settings: FastSettings) -> BatchNorm:
    norm = BatchNorm(width, momentum=settings.norm_momentum)
    # Without scales the next kernel's scale does their work.
    norm.weight.requires_grad_(settings.has_norm_scales)
    return norm


class FastNetwork(nn.Module):
    """Whitened patches, three groups, the maximum over all places, and a scaled output layer."""

    def __init__(
        self, settings: FastSettings, image_shape: tuple[int, int, int], class_count: int
    ) -> None:
        super().__init__()
        height, width, channels = image_shape
        stride = max(1, round(min(height, width) / _FIRST_MAP_PX))
        patch = min(stride + 1, height, width)  # 2 × 2 for images of 32 × 32
        whitening = PatchWhitening(channels, stride=stride, patch_px=patch)
        width_at_start = 2 * whitening.directions
        self.whitening: nn.Module = (
            whitening
            if settings.is_whitened
            else nn.Conv2d(channels, width_at_start, patch, stride=stride, bias=False)
        )
        self.activation = nn.SiLU()
        self.groups = nn.ModuleList()
        features = width_at_start
        for group_width, depth in zip(settings.widths, settings.depths, strict=True):
            self.groups.append(_Group(features, group_width, depth, settings))
            features = group_width
        self.output = nn.Linear(features, class_count, bias=False)
        self.output_scale = 1 / features

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Fit the whitening to normalised training images, float32, shape (B, C, H, W)."""
        if isinstance(self.whitening, PatchWhitening):
            self.whitening.fit(images)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits, shape (B, classes), for normalised images (B, C, H, W)."""
        features = self.activation(self.whitening(images))  # (B, directions, H', W')
        for group in self.groups:
            features = group(features)  # (B, width, H', W')
        largest = features.amax((2, 3))  # (B, width)
        logits: Tensor = self.output(largest) * self.output_scale
        return logits


@torch.no_grad()
def _initialise(
    network: FastNetwork, generator: torch.Generator, *, is_identity: bool = True
) -> None:
    """Draw kernels uniformly, as torch does, then let the first of each pass its input on.

    The output layer is scaled to unit deviation (arXiv 2404.00498, sections 3.2 and 3.3).
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if is_identity and layer is not network.whitening:
                nn.init.dirac_(layer.weight[: layer.in_channels])
    output = network.output.weight
    nn.init.kaiming_uniform_(output, a=math.sqrt(5), generator=generator)
    output /= output.std()


class FastModel:
    """The network of the speed records, sized for the minutes there are."""

    name = "fast"
    summary = "Patch whitening and three short groups; the most accuracy for few minutes"
    settings_type = FastSettings
    takes_any_size = True
    ablations = ABLATIONS
    search_space = (
        *(
            SearchDimension(name=f"model.widths.{group}", low=low, high=high, step=32)
            for group, (low, high) in enumerate(((32, 128), (64, 512), (64, 512)))
        ),
        *(
            SearchDimension(name=f"model.depths.{group}", low=2, high=3, step=1)
            for group in range(3)
        ),
    )

    def build(
        self,
        settings: FastSettings,
        *,
        image_shape: tuple[int, int, int],
        class_count: int,
        generator: torch.Generator,
    ) -> nn.Module:
        """Build the network; see `tenfold.models.model.Model.build`."""
        network = FastNetwork(settings, image_shape, class_count)
        _initialise(network, generator, is_identity=settings.is_identity_initialized)
        return network


MODEL = FastModel()
