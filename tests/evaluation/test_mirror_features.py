"""The features of mirror images, and scores that leave an image's own fold out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tenfold.data.dataset import ImageSplit
from tenfold.evaluation import mirror_features as probe
from tenfold.evaluation.mirror_features import MirrorKernels, mirror_features, mirror_scores


@pytest.mark.parametrize("shape", [(24, 24, 3), (8, 8, 1), (40, 71, 3), (5, 90, 1), (1, 1, 1)])
def test_features_of_a_mirror_image_are_those_of_the_image_reordered(
    shape: tuple[int, int, int],
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)
    both = np.concatenate([images, images[:, :, ::-1]])
    features = mirror_features(both, np.random.default_rng(1))
    torch.testing.assert_close(features.mirrored[:6], features.plain[6:], atol=2e-3, rtol=0)
    assert torch.isfinite(features.plain).all()


def test_scores_are_those_of_fits_without_the_fold(drawn: Callable[..., ImageSplit]) -> None:
    split = drawn(("left", "right", "up"), 7)
    count, groups = len(split), np.arange(21) // 2 * 2
    kernels = MirrorKernels.of(mirror_features(split.images, np.random.default_rng(0)))
    scores = mirror_scores(kernels, split.labels, 3, groups, np.random.default_rng(5))
    generator, targets = np.random.default_rng(5), np.eye(3)[split.labels] - 1 / 3
    plain, mirrored = np.zeros((2, count, 3))
    for _ in range(probe._REPEATS):
        folds = probe._folds(split.labels, groups, generator)
        assert all(len(set(folds[groups == group])) == 1 for group in groups)
        for fold in range(probe._FOLDS):
            own, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            inner = kernels.plain[np.ix_(rest, rest)] + probe._RIDGE * np.eye(len(rest))
            weights = np.linalg.solve(inner, targets[rest])
            plain[own] += kernels.plain[np.ix_(own, rest)] @ weights / probe._REPEATS
            mirrored[own] += kernels.mirrored[np.ix_(own, rest)] @ weights / probe._REPEATS
    np.testing.assert_allclose(scores.plain, plain, atol=1e-4)
    np.testing.assert_allclose(scores.mirrored, mirrored, atol=1e-4)
