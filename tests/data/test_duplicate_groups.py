"""Groups of images that belong together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tenfold.data.splits import (
    exact_groups,
    groups_of_pairs,
    joined_groups,
    regrouped,
    representatives,
)


def test_equal_images_have_one_number() -> None:
    images = np.zeros((5, 2, 2, 1), np.uint8)
    images[1] = images[4] = 7
    images[2, 0, 0] = 1
    assert exact_groups(images).tolist() == [0, 1, 2, 0, 1]


def test_pairs_join_over_others() -> None:
    groups = groups_of_pairs(6, np.array([1, 3]), np.array([3, 5]))
    assert groups.tolist() == [0, 1, 2, 1, 4, 1]
    assert representatives(groups).tolist() == [True, True, True, False, True, False]


def test_no_pairs_leave_every_image_alone() -> None:
    none = np.empty(0, np.int64)
    assert groups_of_pairs(3, none, none).tolist() == [0, 1, 2]


def test_two_groupings_are_joined() -> None:
    joined = joined_groups(np.array([0, 0, 2, 3]), np.array([0, 1, 1, 3]))
    assert joined.tolist() == [0, 0, 0, 3]


def test_some_of_the_images_keep_their_groups() -> None:
    groups = np.array([0, 0, 2, 0, 4])
    assert regrouped(groups, np.array([1, 2, 3])).tolist() == [0, 1, 0]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_a_group_is_numbered_by_its_first_image(values: list[int]) -> None:
    images = np.array(values, np.uint8).reshape(-1, 1, 1, 1)
    groups = exact_groups(images)
    assert (groups <= np.arange(len(values))).all()
    assert (groups[groups] == groups).all()
    assert all(
        (groups[i] == groups[j]) == (a == b)
        for i, a in enumerate(values)
        for j, b in enumerate(values)
    )
