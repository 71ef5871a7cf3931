from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from tenfold.core.progress import SilentProgress
from tenfold.data import pair_comparison
from tenfold.data.image_pairs import ImagePairs
from tenfold.data.pair_comparison import ComparedImages, Looks, nearest_of_each_first
from tenfold.data.pixel_agreement import LOOKS, Detail, make_thumbnails

Pixels = npt.NDArray[np.uint8]
Make = Callable[..., Pixels]


@pytest.fixture
def compared(scenes: Make, cropped: Make, edited: Make) -> ComparedImages:
    """Give ten images and then changed copies of them."""
    base = cropped(scenes(10), 2, 2)
    images = np.concatenate([base, edited(base)])
    return ComparedImages(make_thumbnails(images), Detail((images,)), SilentProgress())


def pairs(*rows: tuple[int, int]) -> ImagePairs:
    one, other = np.array(rows, np.int64).T
    return ImagePairs.of(one, other, is_mirrored=False)


def half(of: ImagePairs) -> npt.NDArray[np.float64]:
    return np.full(len(of), 0.5)


COPIES = [(place, place + 10) for place in range(10)]


def test_the_first_pairs_are_compared_until_all_looks_are_spent(
    compared: ComparedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_comparison, "_COMPARED_AT_ONCE", 2)
    proposed = pairs(*COPIES[::-1])
    everything = Looks()
    whole = compared.measured(proposed, "", looks=everything)
    assert (len(whole), everything.compared, everything.left_out) == (10, 10, 0)
    assert everything.spent == 10 * LOOKS[32]
    few = Looks(5)
    some = compared.measured(proposed, "", looks=few)
    assert some.first.tolist() == [4, 5, 6, 7, 8, 9]
    assert (few.compared, few.left_out) == (6, 4)
    np.testing.assert_array_equal(some.agreement, whole.agreement[4:])
    assert len(compared.measured(proposed, "", looks=few)) == 0
    assert (few.compared, few.left_out) == (6, 14)


def test_each_image_has_its_nearest_pair_compared_first() -> None:
    proposed = pairs((0, 1), (0, 2), (1, 2), (3, 4), (0, 3))
    nearness = np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32)
    ordered = nearest_of_each_first(proposed, nearness)
    found = list(zip(ordered.first.tolist(), ordered.second.tolist(), strict=True))
    # 2 has its nearest in 0, 3 in 4; 1 and 2, and 0 and 3, both have nearer ones.
    assert found == [(0, 1), (0, 2), (3, 4), (1, 2), (0, 3)]


def test_what_large_groups_join_already_is_not_compared_again(
    compared: ComparedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_comparison, "_COMPARED_AT_ONCE", 1)
    proposed = pairs((0, 10), (0, 10), (1, 11), (1, 11))
    looks = Looks()
    compared.measured(proposed, "", looks=looks, asked=half)
    assert looks.compared == 4
    monkeypatch.setattr(pair_comparison, "LARGEST_COMPLETED", 1)
    looks = Looks()
    found = compared.measured(proposed, "", looks=looks, asked=half)
    assert (looks.compared, looks.left_out) == (2, 0)
    assert found.second.tolist() == [10, 11]
    assert (found.agreement > 0.5).all()
