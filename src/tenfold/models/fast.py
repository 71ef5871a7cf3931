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

from tenfold.core.records.ablation import Ingredient
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
_WHITENED_BLOCK = 100
"""Images whose patches lie in memory at once; all together they take half a gigabyte."""


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
        Whether the first layer is fitted to the images' patches and stays so; otherwise it is
        drawn at random and trained.
    starts_as_identity
        Whether each convolution first passes its input on (`dirac` for as many channels as there
        are); otherwise all kernels are drawn at random.
    """

    widths: tuple[Width, Width, Width] = (64, 256, 256)
    depths: tuple[Depth, Depth, Depth] = (2, 2, 3)
    norm_momentum: float = Field(0.1, gt=0, le=1)
    is_whitened: bool = True
    starts_as_identity: bool = True


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
        products, count = torch.zeros((), dtype=torch.float64), 0
        for block in torch.split(images, _WHITENED_BLOCK):
            patches = functional.unfold(block, self.patch_px, stride=self.stride)  # (B, values, N)
            products = products + (patches @ patches.mT).double().sum(0)
            count += patches.size(0) * patches.size(2)
        variances, vectors = torch.linalg.eigh(products / count)  # ascending
        scaled = vectors / (variances.clamp_min(0) + _WHITENING_EPSILON).sqrt()
        kept = scaled.T.flip(0)[: self.directions].reshape(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat((kept, -kept)))

    def forward(self, images: Tensor) -> Tensor:
        """Give whitened patches, shape (B, 2 × directions, H', W')."""
        return functional.conv2d(images, self.weight.to(images.dtype), stride=self.stride)


class _Group(nn.Module):
    """Convolution, pooling, then further convolutions, each with batch norm and activation."""

    def __init__(self, channels: int, width: int, depth: int, norm_momentum: float) -> None:
        super().__init__()
        self.pooling = nn.MaxPool2d(2)
        self.activation = nn.SiLU()  # as hiverge/cifar10-speedrun; half of GELU's time on a CPU
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels if layer == 0 else width, width, 3, padding=1, bias=False)
            for layer in range(depth)
        )
        self.norms = nn.ModuleList(_norm(width, norm_momentum) for _ in range(depth))

    def forward(self, features: Tensor) -> Tensor:
        start = features
        for layer, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            features = convolution(features)
            if layer == 0 and min(features.shape[2:]) > 1:
                features = self.pooling(features)
            features = norm(features)
            if layer >= 2:
                features = features + start
            features = self.activation(features)
            if layer == 0 or layer >= 2:
                start = features
        return features


def _norm(width: int, momentum: float) -> BatchNorm:
    norm = BatchNorm(width, momentum=momentum)
    norm.weight.requires_grad_(False)  # the next kernel's scale does its work
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
        features = 2 * whitening.directions
        self.first: nn.Module = (
            whitening
            if settings.is_whitened
            else nn.Conv2d(channels, features, patch, stride, bias=False)
        )
        self.activation = nn.SiLU()
        self.groups = nn.ModuleList()
        for group_width, depth in zip(settings.widths, settings.depths, strict=True):
            self.groups.append(_Group(features, group_width, depth, settings.norm_momentum))
            features = group_width
        self.output = nn.Linear(features, class_count, bias=False)
        self.output_scale = 1 / features

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Fit the whitening to normalised training images, float32, shape (B, C, H, W)."""
        if isinstance(self.first, PatchWhitening):
            self.first.fit(images)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits, shape (B, classes), for normalised images (B, C, H, W)."""
        features = self.activation(self.first(images))  # (B, directions, H', W')
        for group in self.groups:
            features = group(features)  # (B, width, H', W')
        largest = features.amax((2, 3))  # (B, width)
        logits: Tensor = self.output(largest) * self.output_scale
        return logits


@torch.no_grad()
def _initialise(
    network: FastNetwork, generator: torch.Generator, *, starts_as_identity: bool
) -> None:
    """Draw kernels uniformly, as torch does, then let the first of each pass its input on.

    The output layer is scaled to unit deviation (arXiv 2404.00498, sections 3.2 and 3.3).
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if starts_as_identity and layer is not network.first:
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
    ingredients = (
        Ingredient(
            name="whitening",
            title="Patch whitening",
            without="a trained first layer of the same shape",
            changes={"model.is_whitened": False},
        ),
        Ingredient(
            name="identity-initialization",
            title="Start as identity",
            without="all kernels drawn at random",
            changes={"model.starts_as_identity": False},
        ),
        Ingredient(
            name="third-convolution",
            title="Third convolutions",
            without="two in every group",
            changes={"model.depths": [2, 2, 2]},
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
        _initialise(network, generator, starts_as_identity=settings.starts_as_identity)
        return network


MODEL = FastModel()
