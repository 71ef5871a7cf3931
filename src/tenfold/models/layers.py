"""Layers and stems that several models share.

The layers named *Mirror* commute with mirroring an image left to right (Cohen and Welling, "Group
Equivariant Convolutional Networks", arXiv 1602.07576, here for the group of the identity and the
mirror). Half of their channels are the mirror image of the other half: channel ``c + C/2`` shows of
an image what channel ``c`` shows of its mirror image, mirrored. So every kernel is learned from an
image and its mirror image at once, and a network of such layers that ends in a sum over the two
halves says the same of both, which a plain network only learns to do (and test-time augmentation
pays a second prediction for).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tenfold.core.errors import ImageShapeError


class BatchNorm(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d`, but for a batch with one value a channel.

    Such a batch (one image whose map is one pixel, as the last batch of an epoch may be) has no
    variance, and torch raises an error. It is normalised by the running statistics instead, and
    leaves them as they are.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise features, shape (B, C, H, W)."""
        if not self.training or input.numel() > self.num_features:
            return super().forward(input)
        return functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


_FLAT_DEVIATION = 0.05
"""Deviation of normalised pixels (about 3 of 255 levels) below which images count as flat: what is
left in them is not blown up to the contrast of others."""


class ContrastNormalization(nn.Module):
    """Give each image a standard deviation of 1 about its mean colour, which stays.

    Then an image and the same with less contrast look alike. One factor for all channels, so that
    colours keep their proportions.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Change normalised images, shape (B, C, H, W)."""
        mean = images.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        centred = images - mean
        variance = centred.square().mean((1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
        return centred * (variance + _FLAT_DEVIATION**2).rsqrt() + mean


class Dropout(nn.Module):
    """Zero a share of the inputs in training and scale up the rest (arXiv 1207.0580).

    The training loop gives every such layer its generator (`bind_generator`), so a resumed training
    draws what the uninterrupted one would have drawn. On a CPU the mask comes from raw random bits,
    one byte or two an element: ``torch.nn.Dropout`` draws a double an element and took a third of a
    small network's step.

    Parameters
    ----------
    rate
        Share to zero, 0 to below 1. Rounded to 1/65536.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        assert 0 <= rate < 1, rate
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Give the inputs with a share of them zeroed; in evaluation mode, the inputs."""
        if not self.training or self.rate == 0:
            return inputs
        keep = _keep_mask(inputs, self.rate, self.generator)
        return inputs * keep.mul_(1 / (1 - self.rate))

    def extra_repr(self) -> str:
        """Give the rate, for the layer's printed form."""
        return f"rate={self.rate}"


def _keep_mask(like: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Draw a mask of the shape, type and memory layout of `like`: 1 with 1 - rate, else 0."""
    is_whole_256th = (rate * 256).is_integer()
    dtype, bits, lowest = (torch.uint8, 8, 0) if is_whole_256th else (torch.int16, 16, -(2**15))
    per_word = 64 // bits
    words = torch.empty(
        (like.numel() + per_word - 1) // per_word, dtype=torch.int64, device=like.device
    )
    # From the lowest int64 with no upper bound: all 64 bits are drawn (the default leaves the sign
    # bit zero, which would bias every eighth byte).
    words.random_(-(2**63), None, generator=generator)
    threshold = lowest + round(rate * 2**bits)
    keep = torch.empty(like.numel(), dtype=like.dtype, device=like.device)
    torch.ge(words.view(dtype)[: like.numel()], threshold, out=keep)
    if like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        batch, channels, height, width = like.shape
        return keep.view(batch, height, width, channels).permute(0, 3, 1, 2)
    return keep.view(like.shape)


def bind_generator(network: nn.Module, generator: torch.Generator) -> None:
    """Make `generator` the source of every dropout mask of the network."""
    for layer in network.modules():
        if isinstance(layer, Dropout):
            layer.generator = generator


@torch.no_grad()
def initialise_he(network: nn.Module, generator: torch.Generator) -> None:
    """Draw convolution kernels after He et al. (arXiv 1502.01852), normal, by outputs.

    Dense layers are drawn as torch draws them, with zero biases. Normalisation layers are left at
    scale 1 and shift 0.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(
                layer.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
        elif isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            nn.init.zeros_(layer.bias)


SizedStem = Literal["small", "large"]
StemName = Literal["auto", SizedStem]

LARGE_IMAGE_PX = 96
"""From this shorter side on, images get the large stem: a network made for 32 × 32 images then
sees maps of 24 × 24 and more, where the small stem would take nine times the arithmetic or more."""

_SHRINKING = {"small": 1, "large": 4}
"""How many times smaller than the image each stem's map is, in height and width."""


def choose_stem(asked: StemName, image_shape: tuple[int, int, int]) -> SizedStem:
    """Give the stem for images of a shape (height, width, channels)."""
    if asked != "auto":
        return asked
    return "large" if min(image_shape[:2]) >= LARGE_IMAGE_PX else "small"


def make_stem(stem: SizedStem, channels: int, width: int) -> nn.Sequential:
    """Make the first layers.

    ``small``: one 3 × 3 convolution (He et al., arXiv 1512.03385, section 4.2). ``large``: a 7 × 7
    convolution at stride 2 and 3 × 3 max pooling at stride 2 (section 4.1, and GoogLeNet, arXiv
    1409.4842, before it). Both with batch norm.

    Parameters
    ----------
    stem
        Which one.
    channels
        Of the images.
    width
        Output channels.
    """
    layers = nn.Sequential()
    kernel, stride = (7, 2) if stem == "large" else (3, 1)
    layers.add_module(
        "convolution", nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    )
    layers.add_module("norm", BatchNorm(width))
    layers.add_module("activation", nn.ReLU(inplace=True))
    if stem == "large":
        layers.add_module("pooling", nn.MaxPool2d(3, 2, padding=1))
    return layers


def check_image_size(
    model: str, image_shape: tuple[int, int, int], stem: SizedStem, halvings: int
) -> None:
    """Refuse images that would be smaller than one pixel before the network's last halving.

    Parameters
    ----------
    model
        Its name, for the message.
    image_shape
        Height, width and channels.
    stem
        The network's stem.
    halvings
        How often the layers after the stem halve the map.

    Raises
    ------
    ImageShapeError
        If there is too little to halve; it says what to change.
    """
    height, width, _ = image_shape
    least = _SHRINKING[stem] * 2**halvings
    if min(height, width) >= least:
        return
    advice = "Use larger images (data.image_size_px)"
    if stem == "large":
        advice += ", model.stem=small"
    raise ImageShapeError(
        f"Images of {height}×{width} pixels are too small for model {model} with its {stem} stem, "
        f"which shrinks them {least} times: height and width must be {least} or more. {advice}, or "
        "another model (model.name)."
    )


class MirrorConvolution(nn.Module):
    """A convolution without biases whose second half of outputs mirrors the first.

    Parameters
    ----------
    channels
        Of the input. Its channel i has the mirror partner ``partners[i]``; halves that mirror each
        other unless that is set otherwise.
    width
        Channels of the output, even.
    kernel_px, stride, padding
        As for `torch.nn.Conv2d`.
    """

    partners: Tensor

    def __init__(
        self, channels: int, width: int, kernel_px: int, *, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = padding
        self.weight = nn.Parameter(torch.empty(width // 2, channels, kernel_px, kernel_px))
        self.register_buffer("partners", torch.arange(channels).roll(channels // 2))
        self._evaluated: tuple[tuple[object, ...], Tensor] | None = None

    def forward(self, features: Tensor) -> Tensor:
        """Give features, shape (B, width, H, W)."""
        kernel = self._kernel(features.dtype)
        return functional.conv2d(features, kernel, stride=self.stride, padding=self.padding)

    def _kernel(self, dtype: torch.dtype) -> Tensor:
        """Give the kernel of all outputs; outside training that of the last call, if it holds."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._both_halves(dtype)
        weight = self.weight
        state = (weight._version, weight.data_ptr(), self.partners._version, weight.device, dtype)
        kept = self._evaluated
        if kept is None or kept[0] != state:
            kept = self._evaluated = (state, self._both_halves(dtype))
        return kept[1]

    def _both_halves(self, dtype: torch.dtype) -> Tensor:
        learned = self.weight.to(dtype)
        return torch.cat((learned, self.mirrored(learned)))

    def mirrored(self, half: Tensor) -> Tensor:
        """Give the second half of outputs' kernel (or its gradient) from the first's."""
        return half[:, self.partners].flip(3)


class MirrorBatchNorm(BatchNorm):
    """Batch norm that treats a channel and its mirror image as one, shape (B, width, H, W).

    Parameters
    ----------
    width
        Channels, even.
    momentum
        As for `torch.nn.BatchNorm2d`.
    """

    def __init__(self, width: int, *, momentum: float) -> None:
        super().__init__(width // 2, momentum=momentum)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise; channels last in memory, the halves are neighbours and nothing is copied."""
        if not self.training:
            return self._by_running_statistics(input)
        count, width, rows, columns = input.shape
        pairs = input.permute(0, 2, 3, 1).reshape(count, rows, 2 * columns, width // 2)
        normalized = super().forward(pairs.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return normalized.reshape(count, rows, columns, width).permute(0, 3, 1, 2)

    def _by_running_statistics(self, input: Tensor) -> Tensor:
        """Normalise each half by the same, in a form that what runs exported files folds away."""
        assert self.running_mean is not None
        assert self.running_var is not None
        of_half = (self.running_mean, self.running_var, self.weight, self.bias)
        mean, variance, weight, bias = (torch.cat((values, values)) for values in of_half)
        return functional.batch_norm(input, mean, variance, weight, bias, eps=self.eps)


class MirrorMaxPool(nn.Module):
    """Maxima at a stride of 2, of windows that lie symmetrically: 2 wide on even sides, else 3."""

    def forward(self, features: Tensor) -> Tensor:
        """Pool features, shape (B, C, H, W), both sides at least 2."""
        height, width = features.shape[2:]
        # An exporter that traces gets Python's numbers so, not sums of the features' size.
        window = (3 if height % 2 else 2, 3 if width % 2 else 2)
        return functional.max_pool2d(features, window, stride=2)


def mirror_bases(channels: int, patch_px: int) -> tuple[Tensor, Tensor]:
    """Give orthonormal bases of the patches that are their own mirror image, and of the negatives.

    Parameters
    ----------
    channels, patch_px
        Of a patch; its values are in the order (channel, row, column).

    Returns
    -------
    symmetric, antisymmetric
        float64, shapes (values, dimensions); together they span all patches.
    """
    shape = (channels, patch_px, patch_px)
    patches = torch.eye(channels * patch_px**2, dtype=torch.float64)
    mirror = patches.view(-1, *shape).flip(3).flatten(1)
    signs, vectors = torch.linalg.eigh(mirror)  # 1 and -1
    return vectors[:, signs > 0], vectors[:, signs < 0]
