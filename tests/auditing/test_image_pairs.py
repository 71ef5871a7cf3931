"""Lists of pairs."""

from __future__ import annotations

import numpy as np

from tenfold.data.pixel_agreement import ImagePairs


def pairs(*rows: tuple[int, int], is_mirrored: bool = False) -> ImagePairs:
    one, other = np.array(rows, np.int64).reshape(-1, 2).T
    return ImagePairs.of(one, other, is_mirrored=is_mirrored)


def test_a_pair_is_the_same_either_way_and_not_of_one_image() -> None:
    found = pairs((3, 1), (1, 3), (2, 2))
    assert (found.first.tolist(), found.second.tolist()) == ([1, 1], [3, 3])
    assert len(ImagePairs.joined(found, pairs())) == 1


def test_mirrored_is_another_pair_until_the_best_is_kept() -> None:
    plain = pairs((0, 1), (2, 3)).with_agreement(np.array([0.5, 0.9], np.float32))
    mirrored = pairs((0, 1), (2, 3), is_mirrored=True)
    mirrored = mirrored.with_agreement(np.array([0.7, 0.8], np.float32))
    joined = ImagePairs.joined(plain, mirrored)
    assert len(joined) == 4
    best = joined.best_of_each()
    assert best.is_mirrored.tolist() == [True, False]
    assert len(joined.without(plain)) == 2


def test_exact_wins_over_measured() -> None:
    measured = pairs((0, 1)).with_agreement(np.ones(1, np.float32))
    joined = ImagePairs.joined(measured, pairs((0, 1)).as_exact())
    assert joined.is_exact.tolist() == [True]
