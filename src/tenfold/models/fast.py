"""The fast network: patch whitening, then three short convolution groups; made for few minutes.

Sources: Keller Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv 2404.00498):
whitening of patches, identity-initialised convolutions, batch norm without scales, scaled output.
Ours: layers that commute with mirroring (`tenfold.models.layers`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Self

import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import Tensor, nn
from torch.nn import functional

from tenfold.core.records.tuning import Ingredient, SearchDimension
from tenfold.core.settings import Settings
from tenfold.models.layers import (
    BatchNorm,
    ImageStandardization,
    MirrorBatchNorm,
    MirrorConvolution,
    MirrorMaxPool,
    mirror_bases,
)
from tenfold.models.model import Model, NetworkBody

Width = Annotated[int, Field(ge=1, le=4096)]
Depth = Annotated[int, Field(ge=1, le=8)]

_FIRST_MAP_PX = 32
"""Larger images are cut into patches at a stride, so that the first map has about this size."""
_SECOND = "groups.0.convolutions.0"
"""Name of the layer that takes the patches."""
_WHITENED_DIRECTIONS = 12
"""Principal directions that are kept: all of a 2 × 2 patch of three channels."""
_FORMER_EPSILON = 5e-4
"""That of arXiv 2404.00498, which every whitening had before it was a setting."""
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
    whitening_epsilon
        Added to the variances of the whitened directions before each is scaled by its own. It is
        a bound on how far weak ones, which noise fills, are amplified: pixels' variance is about 1.
    is_contrast_normalized
        Whether each image's mean colour and contrast are taken out first
        (`tenfold.models.layers.ImageStandardization`).
    starts_as_identity
        Whether each convolution first passes its input on (`dirac` for as many channels as there
        are); otherwise all kernels are drawn at random.
    is_mirror_equivariant
        Whether one half of every layer's channels mirrors the other, so that an image and its
        mirror image get the same answer up to rounding. Widths are even then. Off in any case where
        a mirror image may not show its class.
    """

    widths: tuple[Width, Width, Width] = (64, 256, 256)
    depths: tuple[Depth, Depth, Depth] = (2, 2, 3)
    norm_momentum: float = Field(0.1, gt=0, le=1)
    is_whitened: bool = True
    whitening_epsilon: float = Field(_FORMER_EPSILON, gt=0, le=1e6)
    is_contrast_normalized: bool = False
    starts_as_identity: bool = True
    is_mirror_equivariant: bool = False

    @model_serializer(mode="wrap")
    def _as_before(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what younger settings do not change: earlier trainings stay what they are."""
        values: dict[str, Any] = plain(self)
        for name in ("whitening_epsilon", "is_contrast_normalized"):
            if values[name] == type(self).model_fields[name].default:
                del values[name]
        return values

    @model_validator(mode="after")
    def _has_halves(self) -> Self:
        if self.is_mirror_equivariant and any(width % 2 for width in self.widths):
            raise ValueError("with is_mirror_equivariant, widths are even")
        return self


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
    epsilon
        Added to the patches' variances, see `FastSettings.whitening_epsilon`.
    is_mirror_equivariant
        Whether the directions are those of the patches and of their mirror images. Each is then
        its own mirror image or the negative of it.
    """

    weight: Tensor

    def __init__(
        self,
        channels: int,
        *,
        stride: int,
        patch_px: int,
        epsilon: float = _FORMER_EPSILON,
        is_mirror_equivariant: bool = False,
    ) -> None:
        super().__init__()
        self.is_mirror_equivariant = is_mirror_equivariant
        self.epsilon = epsilon
        self.stride = stride
        self.patch_px = patch_px
        values = channels * self.patch_px**2
        self.directions = min(values, _WHITENED_DIRECTIONS)
        pixels = torch.eye(values)[: self.directions]  # until it is fitted
        shape = (2 * self.directions, channels, self.patch_px, self.patch_px)
        self.register_buffer("weight", torch.cat((pixels, -pixels)).view(shape))

    @torch.no_grad()
    def fit(self, images: Tensor, before: nn.Module | None = None) -> None:
        """Find the directions.

        Parameters
        ----------
        images
            Normalised, float32, shape (B, C, H, W).
        before
            What the network does to images before it takes patches of them; None for nothing.
        """
        products, count = torch.zeros((), dtype=torch.float64), 0
        for block in torch.split(images, _WHITENED_BLOCK):
            shown = block if before is None else before(block)
            patches = functional.unfold(shown, self.patch_px, stride=self.stride)  # (B, values, N)
            products = products + (patches @ patches.mT).double().sum(0)
            count += patches.size(0) * patches.size(2)
        kept = self._strongest(products / count).to(self.weight.dtype).view_as(self._positive)
        self.weight.copy_(torch.cat((kept, -kept)))

    def _strongest(self, moments: Tensor) -> Tensor:
        """Give the scaled directions of the largest variances, shape (directions, values)."""
        shape = self.weight.shape[1:]
        bases: tuple[Tensor, ...] = (torch.eye(len(moments), dtype=moments.dtype),)
        if self.is_mirror_equivariant:
            of_mirrored = moments.view(*shape, *shape).flip(2, 5).reshape(moments.shape)
            moments = (moments + of_mirrored) / 2
            bases = mirror_bases(shape[0], self.patch_px)
        solved = [torch.linalg.eigh(basis.T @ moments @ basis) for basis in bases]
        variances = torch.cat([variances for variances, _ in solved]).clamp_min(0)
        vectors = torch.cat(
            [basis @ vectors for basis, (_, vectors) in zip(bases, solved, strict=True)], dim=1
        )
        largest = variances.argsort(descending=True, stable=True)[: self.directions]
        return (vectors[:, largest] / (variances[largest] + self.epsilon).sqrt()).T

    @property
    def _positive(self) -> Tensor:
        return self.weight[: self.directions]

    @property
    def mirror_partners(self) -> Tensor:
        """Give, for each output, the one that shows the same of a mirror image; int64."""
        outputs = torch.arange(2 * self.directions)
        is_own = (self._positive * self._positive.flip(3)).sum((1, 2, 3)) > 0
        return torch.where(is_own.cpu().repeat(2), outputs, outputs.roll(self.directions))

    def forward(self, images: Tensor) -> Tensor:
        """Give whitened patches, shape (B, 2 × directions, H', W')."""
        return functional.conv2d(images, self.weight.to(images.dtype), stride=self.stride)


class _Group(nn.Module):
    """Convolution, pooling, then further convolutions, each with batch norm and activation."""

    def __init__(self, channels: int, width: int, depth: int, settings: FastSettings) -> None:
        super().__init__()
        is_mirrored = settings.is_mirror_equivariant
        self.pooling = MirrorMaxPool() if is_mirrored else nn.MaxPool2d(2)
        self.activation = nn.SiLU()  # as hiverge/cifar10-speedrun; half of GELU's time on a CPU
        self.convolutions = nn.ModuleList(
            _convolution(channels if layer == 0 else width, width, is_mirrored=is_mirrored)
            for layer in range(depth)
        )
        self.norms = nn.ModuleList(_norm(width, settings) for _ in range(depth))

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


def _convolution(channels: int, width: int, *, is_mirrored: bool) -> nn.Module:
    if is_mirrored:
        return MirrorConvolution(channels, width, 3, padding=1)
    return nn.Conv2d(channels, width, 3, padding=1, bias=False)


def _norm(width: int, settings: FastSettings) -> BatchNorm:
    kind = MirrorBatchNorm if settings.is_mirror_equivariant else BatchNorm
    norm = kind(width, momentum=settings.norm_momentum)
    norm.weight.requires_grad_(False)  # the next kernel's scale does its work
    return norm


class FastNetwork(NetworkBody):
    """Whitened patches, three groups, the maximum over all places, and a scaled output layer."""

    def __init__(
        self, settings: FastSettings, image_shape: tuple[int, int, int], class_count: int
    ) -> None:
        super().__init__()
        height, width, channels = image_shape
        stride = max(1, round(min(height, width) / _FIRST_MAP_PX))
        is_mirrored = settings.is_mirror_equivariant
        patch = stride + 1  # 2 × 2 for images of 32 × 32
        if is_mirrored and (width - patch) % stride % 2:
            patch += 1  # so that as many columns are left over on the left as on the right
        patch = min(patch, height, width)
        whitening = PatchWhitening(
            channels,
            stride=stride,
            patch_px=patch,
            epsilon=settings.whitening_epsilon,
            is_mirror_equivariant=is_mirrored,
        )
        self.standardization = ImageStandardization() if settings.is_contrast_normalized else None
        features = 2 * whitening.directions
        self.first: nn.Module = whitening
        if not settings.is_whitened and is_mirrored:
            self.first = MirrorConvolution(channels, features, patch, stride=stride)
            self.first.partners.copy_(torch.arange(channels))  # a colour stays what it is
        elif not settings.is_whitened:
            self.first = nn.Conv2d(channels, features, patch, stride, bias=False)
        self.activation = nn.SiLU()
        self.groups = nn.ModuleList()
        for group_width, depth in zip(settings.widths, settings.depths, strict=True):
            self.groups.append(_Group(features, group_width, depth, settings))
            features = group_width
        self.is_mirror_equivariant = is_mirrored
        self.patch_px, self.stride = patch, stride
        self.output = nn.Linear(features // 2 if is_mirrored else features, class_count, bias=False)
        self.output_scale = 1 / features

    @torch.no_grad()
    def prepare(self, some_images: Callable[[], Tensor]) -> None:
        """Fit the whitening to training images."""
        if isinstance(self.first, PatchWhitening):
            self.first.fit(some_images(), self.standardization)
            second = self.get_submodule(_SECOND)
            if isinstance(second, MirrorConvolution):
                second.partners.copy_(self.first.mirror_partners)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits, shape (B, classes), for normalised images (B, C, H, W)."""
        if self.standardization is not None:
            images = self.standardization(images)
        if self.is_mirror_equivariant:
            rest = (images.size(3) - self.patch_px) % self.stride
            images = images[..., rest // 2 : images.size(3) - (rest - rest // 2)]
        features = self.activation(self.first(images))  # (B, directions, H', W')
        for group in self.groups:
            features = group(features)  # (B, width, H', W')
        largest = features.amax((2, 3))  # (B, width)
        if self.is_mirror_equivariant:
            largest = largest.unflatten(1, (2, -1)).sum(1)  # (B, width / 2), the mirror image's too
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
        if isinstance(layer, nn.Conv2d | MirrorConvolution):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if starts_as_identity and layer is not network.first:
                nn.init.dirac_(layer.weight[: _passed_on(network, layer)])
    output = network.output.weight
    nn.init.kaiming_uniform_(output, a=math.sqrt(5), generator=generator)
    output /= output.std()


def _passed_on(network: FastNetwork, layer: nn.Conv2d | MirrorConvolution) -> int:
    """Give how many channels a kernel passes on; of two that mirror each other, one."""
    channels = layer.weight.size(1)
    takes_patches = layer is network.get_submodule(_SECOND)  # many are their own mirror image
    return channels if isinstance(layer, nn.Conv2d) or takes_patches else channels // 2


class FastModel(Model):
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
            name="mirror-equivariance",
            title="Mirror-equivariant layers",
            without="all kernels free, images and mirror images learned apart",
            changes={"model.is_mirror_equivariant": False},
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
    ) -> NetworkBody:
        """Build the network; see `tenfold.models.model.Model.build`."""
        network = FastNetwork(settings, image_shape, class_count)
        _initialise(network, generator, starts_as_identity=settings.starts_as_identity)
        return network

    def suited_to(self, settings: FastSettings, *, mirror_keeps_class: bool) -> FastSettings:
        """Give the settings without equivariance where a mirror image may not show its class."""
        if mirror_keeps_class:
            return settings
        return settings.model_copy(update={"is_mirror_equivariant": False})


MODEL = FastModel()
