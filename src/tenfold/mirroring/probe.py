"""A small classifier that tells what mirroring does to the classes: kernel ridge regression.

Learning from every image and its mirror image is the same as learning with a kernel that is the
mean over the mirror image, so both classifiers are of N images and cost the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenfold.data.dataset import Groups, Labels
from tenfold.mirroring.features import MirrorFeatures

Floats = npt.NDArray[np.float64]

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
