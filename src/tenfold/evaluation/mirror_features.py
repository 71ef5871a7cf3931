"""Features and a kernel probe that tell images from their mirror images.

Whitened patches of the images themselves as filters (Coates and Ng, 2011, "The importance of
encoding versus training with sparse coding and vector quantization", ICML), here with the mirror
image of every filter beside it, and the colours of a coarse grid: the features of a mirror image
are then those of the image in another order.

A small classifier that tells what mirroring does to the classes: kernel ridge regression.
Learning from every image and its mirror image is the same as learning with a kernel that is the
mean over the mirror image, so both classifiers are of N images and cost the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from tenfold.data.dataset import Groups, Images, Labels
from tenfold.evaluation.scores import Floats

_SIDE_PX = 32
"""Larger images are shrunk to it: what tells left from right is coarse."""
_PATCH_PX = 7
_FILTERS = 96
_GRIDS = (1, 2, 4)
"""Responses are averaged over the whole image, over its quarters, and over a 4 × 4 grid."""
_THRESHOLD = 1.5
"""Responses below it do not count; docs/experiments.md has what 0 to 2 give."""
_COLOURS = 0.2
"""Weight of colours, which would drown shapes: arrows have any colour."""
_LEAST_VARIANCE = 0.01
"""Added to a patch's variance (pixels from 0 to 1), so that plain patches stay plain."""
_LEAST_EIGENVALUE = 0.1
_FITTED_IMAGES = 500
_FITTED_PATCHES = 20_000
_BLOCK = 20
"""Images at a time, so that responses stay in cache."""


@dataclass(frozen=True)
class MirrorFeatures:
    """Features of images and of their mirror images, float32, both of shape (N, features)."""

    plain: Tensor
    mirrored: Tensor


def mirror_features(images: Images, generator: np.random.Generator) -> MirrorFeatures:
    """Give features in which places are coarse, but left is not right.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C).
    generator
        Of the patches that become filters.
    """
    shrunk = torch.cat([_shrunk(images[at : at + _BLOCK]) for at in range(0, len(images), _BLOCK)])
    side = min(_PATCH_PX, *shrunk.shape[2:])
    filters = _filters(shrunk, side, generator)
    partners = torch.arange(2 * _FILTERS).view(2, 2, -1).flip(1).flatten()
    plain, mirrored = [], []
    for block in torch.split(shrunk, _BLOCK):
        responses = _responses(block, filters)
        active = torch.cat((responses, -responses), 1).sub_(_THRESHOLD).clamp_min_(0)
        finest = functional.adaptive_avg_pool2d(active, max(_GRIDS))
        of_block, of_mirrored = [], []
        for grid in _GRIDS:
            pooled = functional.adaptive_avg_pool2d(finest, grid).sqrt() / grid
            of_block.append(pooled.flatten(1))
            of_mirrored.append(pooled[:, partners].flip(3).flatten(1))
        colours = _COLOURS * functional.adaptive_avg_pool2d(block, max(_GRIDS))
        of_block.append(colours.flatten(1))
        of_mirrored.append(colours.flip(3).flatten(1))
        plain.append(torch.cat(of_block, 1))
        mirrored.append(torch.cat(of_mirrored, 1))
    return MirrorFeatures(torch.cat(plain), torch.cat(mirrored))


def _shrunk(images: Images) -> Tensor:
    """Give images of at most `_SIDE_PX` on a side, from 0 to 1, shape (N, C, H, W)."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    height, width = pixels.shape[2:]
    share = min(1.0, _SIDE_PX / max(height, width))
    size = (max(1, round(height * share)), max(1, round(width * share)))
    return functional.interpolate(pixels, size=size, mode="area")


def _responses(images: Tensor, filters: Tensor) -> Tensor:
    """Give the products of filters and normalised patches, shape (N, filters, H', W')."""
    side = filters.size(2)
    # Subtracting a patch's mean from it or a filter's from the filter gives the same product.
    products = functional.conv2d(images, filters - filters.mean((1, 2, 3), keepdim=True))
    grey, squares = images.mean(1, keepdim=True), images.square().mean(1, keepdim=True)
    means = functional.avg_pool2d(grey, side, stride=1)
    variances = functional.avg_pool2d(squares, side, stride=1) - means.square()
    return products * (variances.clamp_min(0) + _LEAST_VARIANCE).rsqrt()


def _patches(images: Tensor, side: int) -> Tensor:
    """Give all patches, of mean 0 and about unit variance, shape (N, values, places)."""
    patches = functional.unfold(images, side)
    patches = patches - patches.mean(1, keepdim=True)
    return patches / (patches.square().mean(1, keepdim=True) + _LEAST_VARIANCE).sqrt()


def _filters(images: Tensor, side: int, generator: np.random.Generator) -> Tensor:
    """Draw patches and whiten them; (filters, C, side, side), the mirror images last."""
    channels = images.size(1)

    def mirrored(patches: Tensor) -> Tensor:
        return patches.view(-1, channels, side, side).flip(3).flatten(1)

    chosen = np.sort(generator.permutation(len(images))[:_FITTED_IMAGES])
    patches = _patches(images[torch.from_numpy(chosen)], side).permute(0, 2, 1).flatten(0, 1)
    drawn = generator.permutation(len(patches))[:_FITTED_PATCHES]
    patches = patches[torch.from_numpy(drawn)].double()
    both = torch.cat((patches, mirrored(patches)))
    eigenvalues, vectors = torch.linalg.eigh(both.T @ both / len(both))
    scales = (eigenvalues.clamp_min(0) + _LEAST_EIGENVALUE).rsqrt()
    whitening = (vectors * scales) @ vectors.T
    rows = torch.from_numpy(generator.integers(len(patches), size=_FILTERS // 2))
    half = patches[rows] @ whitening
    half = half / half.norm(dim=1, keepdim=True).clamp_min(1e-6) @ whitening
    return torch.cat((half, mirrored(half))).float().view(-1, channels, side, side)


_FOLDS = 10
_REPEATS = 2
_RIDGE = 0.01
"""Of a kernel that is 1 for equal images."""
_DIGITS = 5
"""Of the scores; what is behind them is rounding, and images of no content have nothing else."""
_WIDTH = 4.0
"""Of the kernel, in mean squared distances."""


@dataclass(frozen=True)
class MirrorKernels:
    """How alike images are; both float64, shape (N, N).

    Parameters
    ----------
    plain
        Image to image.
    mirrored
        The mirror image of the one in the row to the image in the column.
    """

    plain: Floats
    mirrored: Floats

    @classmethod
    def of(cls, features: MirrorFeatures) -> MirrorKernels:
        """Give Gaussian kernels of features."""
        plain, mirrored = features.plain, features.mirrored
        centre = (plain.mean(0) + mirrored.mean(0)) / 2
        plain, mirrored = plain - centre, mirrored - centre
        lengths = plain.square().sum(1)  # a mirror image's are the same
        squares = [
            (lengths[:, None] + lengths - 2 * other @ plain.T).clamp_min(0).double().numpy()
            for other in (plain, mirrored)
        ]
        width = _WIDTH * max(float(squares[0].mean()), 1e-12)
        return cls(*(np.exp(-square / width) for square in squares))

    def take(self, rows: npt.NDArray[np.int64]) -> MirrorKernels:
        """Give those of some images."""
        chosen = np.ix_(rows, rows)
        return MirrorKernels(self.plain[chosen], self.mirrored[chosen])


@dataclass(frozen=True)
class MirrorScores:
    """Out-of-fold scores, shape (N, classes): high for the class that an image looks like.

    Parameters
    ----------
    plain
        Of the images, by a classifier that learned from images as they are.
    mirrored
        Of their mirror images, by the same.
    taught
        Of the images, by a classifier that learned from their mirror images too.
    """

    plain: Floats
    mirrored: Floats
    taught: Floats


def mirror_scores(
    kernels: MirrorKernels,
    labels: Labels,
    class_count: int,
    groups: Groups,
    generator: np.random.Generator,
) -> MirrorScores:
    """Cross-fit both classifiers, every class of the same weight.

    Parameters
    ----------
    kernels
        Of N images.
    labels, groups
        int64, shape (N,); images of a group are in one fold.
    class_count
        Number of classes; each has an image.
    generator
        Of the folds.
    """
    counts = np.bincount(labels, minlength=class_count)
    ridge: Floats = _RIDGE * counts[labels] * class_count / len(labels)
    targets: Floats = np.eye(class_count)[labels] - 1 / class_count
    both = (kernels.mirrored + kernels.mirrored.T) / 2
    plain = _inverse(kernels.plain, ridge)
    taught = _inverse(kernels.plain + both, ridge)
    sums: list[Floats] = [np.zeros_like(targets) for _ in range(3)]
    for _ in range(_REPEATS):
        folds = _folds(labels, groups, generator)
        for fold in np.unique(folds):
            own = np.flatnonzero(folds == fold)
            for scores, inverse in ((sums[0], plain), (sums[2], taught)):
                scores[own] += targets[own] - _left_out(inverse, targets, own)
            rest = plain @ targets - plain[:, own] @ _left_out(plain, targets, own)
            sums[1][own] += kernels.mirrored[own] @ rest
    return MirrorScores(*(np.round(scores / _REPEATS, _DIGITS) for scores in sums))


def _inverse(kernel: Floats, ridge: Floats) -> Floats:
    return np.asarray(np.linalg.inv(kernel + np.diag(ridge)), np.float64)


def _left_out(inverse: Floats, targets: Floats, own: npt.NDArray[np.int64]) -> Floats:
    """Give the errors on images of a fit without them, from the inverse of the fit to all."""
    own_part = inverse[np.ix_(own, own)]
    return np.asarray(np.linalg.solve(own_part, inverse[own] @ targets), np.float64)


def _folds(labels: Labels, groups: Groups, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Deal the groups, class by class, out to the folds."""
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    order = generator.permutation(len(first))
    order = order[np.argsort(labels[first[order]], kind="stable")]
    fold_of = np.empty(len(first), np.int64)
    fold_of[order] = np.arange(len(first)) % _FOLDS
    return fold_of[group_of]
