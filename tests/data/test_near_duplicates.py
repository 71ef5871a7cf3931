from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from tenfold.core.progress import SilentProgress
from tenfold.data import pair_comparison
from tenfold.data.image_pairs import ImagePairs
from tenfold.data.near_duplicates import (
    NearDuplicates,
    NetworkFeatures,
    equal_pairs,
    find_near_duplicates,
    pixel_groups,
)
from tenfold.data.splits import exact_groups

Pixels = npt.NDArray[np.uint8]
Make = Callable[..., Pixels]


def search(
    images: Pixels, *, has_mirror: bool = True, labels: npt.NDArray[np.int64] | None = None
) -> ImagePairs:
    # Features that say nothing: what the pixels do not find, random vectors do not either.
    rng = np.random.default_rng(0)
    features = rng.normal(size=(len(images), 8)).astype(np.float32)
    found = find_near_duplicates(
        (images[:10], images[10:]),
        NetworkFeatures(features, features[-5:] if has_mirror else None),
        exact_groups(images),
        np.zeros(len(images), np.int64) if labels is None else labels,
        least_agreement=0.8,
        progress=SilentProgress(),
    )
    assert found.compared >= len(found.same) - found.same.is_exact.sum()
    assert found.least_agreement >= 0.8
    return found.same


def test_finds_copies_edits_and_mirror_images_and_nothing_else(
    scenes: Make, cropped: Make, edited: Make
) -> None:
    base = cropped(scenes(60), 2, 2)
    images = np.concatenate([base, base[:3], edited(base[3:6]), base[6:9][:, :, ::-1]])
    found = search(images)
    assert found.first.tolist() == list(range(9))
    assert found.second.tolist() == list(range(60, 69))
    assert found.is_exact.tolist() == [True] * 3 + [False] * 6
    assert found.is_mirrored.tolist() == [False] * 6 + [True] * 3
    assert (found.agreement[:3] == 1).all()
    assert len(search(images, has_mirror=False)) == 6


def test_features_find_what_the_coarse_pixels_miss(scenes: Make, cropped: Make) -> None:
    whole = scenes(60, side=48)
    first, second = cropped(whole, 2, 2, 38), cropped(whole[:10], 6, 6, 38)
    images = np.concatenate([first, second])
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 16)).astype(np.float32)
    features = np.concatenate([features, features[:10] + 0.1])
    arguments = (exact_groups(images), np.zeros(70, np.int64))
    with_features, without = (
        find_near_duplicates(
            (images,),
            NetworkFeatures(vectors, None),
            *arguments,
            least_agreement=0.8,
            progress=SilentProgress(),
        ).same
        for vectors in (features, rng.normal(size=(70, 16)).astype(np.float32))
    )
    assert len(with_features) > len(without)
    assert (with_features.second == with_features.first + 60).all()


def test_different_labels_ask_for_better_agreement(
    scenes: Make, cropped: Make, edited: Make
) -> None:
    base = cropped(scenes(60), 2, 2)
    images = np.concatenate([base, edited(base[:20])])
    same = search(images)
    other = search(images, labels=np.arange(80))
    assert len(other) == (same.agreement >= 0.9).sum() < len(same)
    copies = search(np.concatenate([base, base[:2]]), labels=np.arange(62))
    assert len(copies) == 2


def test_a_chain_of_edits_gives_all_its_pairs(scenes: Make, cropped: Make, edited: Make) -> None:
    base = cropped(scenes(30), 2, 2)
    images = np.concatenate([base, *(edited(base[:1], seed) for seed in range(4))])
    found = search(images)
    assert len(found) == 10  # of five images


def test_a_crowd_of_copies_is_paired_with_its_first() -> None:
    groups = np.zeros(500, np.int64)
    pairs = equal_pairs(groups)
    assert len(pairs) == 499
    assert (pairs.first == 0).all()


def test_the_quick_look_groups_copies_of_all_and_edits_of_one_class(
    scenes: Make, cropped: Make, edited: Make
) -> None:
    base = cropped(scenes(40), 2, 2)
    images = np.concatenate([base, base[:2], edited(base[2:4])])
    labels = np.concatenate([np.zeros(40, np.int64), [1, 0, 0, 1]])
    groups = pixel_groups(images, labels, SilentProgress())
    assert groups[40:].tolist() == [0, 1, 2, 43]  # the last is an edit under another label
    assert groups[:40].tolist() == list(range(40))


def test_classes_whose_images_all_look_alike_are_not_one_group(
    scenes: Make, cropped: Make, edited: Make
) -> None:
    one = cropped(scenes(1), 2, 2)
    images = np.concatenate([edited(one, seed) for seed in range(60)])
    labels = np.zeros(60, np.int64)
    assert len(np.unique(pixel_groups(images, labels, SilentProgress()))) == 60


def test_of_tiny_images_only_copies_are_grouped(scenes: Make, edited: Make) -> None:
    base = scenes(10)[:, :8, :8]
    images = np.concatenate([base, base[:1], edited(base[1:2])])
    groups = pixel_groups(images, np.zeros(12, np.int64), SilentProgress())
    assert groups.tolist() == [*range(10), 0, 11]


def test_where_all_images_look_alike_more_is_asked(
    scenes: Make, cropped: Make, edited: Make
) -> None:
    one = scenes(1)
    rng = np.random.default_rng(0)
    images = np.concatenate([cropped(one, 2, 2)] * 40).astype(np.int16)
    images = (images + rng.normal(0, 14, images.shape)).clip(0, 255).astype(np.uint8)
    images = np.concatenate([images, images[:1] + np.uint8(1)])
    features = rng.normal(size=(len(images), 8)).astype(np.float32)
    found = find_near_duplicates(
        (images,),
        NetworkFeatures(features, None),
        np.arange(len(images)),
        np.zeros(len(images), np.int64),
        least_agreement=0.6,
        progress=SilentProgress(),
    )
    assert found.least_agreement > 0.8
    assert (0, 40) in list(zip(found.same.first.tolist(), found.same.second.tolist(), strict=True))
    assert len(found.same) < 10


def test_with_few_looks_the_nearest_are_found_and_the_rest_is_counted(
    scenes: Make, cropped: Make, edited: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_comparison, "_COMPARED_AT_ONCE", 4)
    base = cropped(scenes(40), 2, 2)
    images = np.concatenate([base, np.clip(base[:8], 1, 254), edited(base[8:16])])
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 8)).astype(np.float32)
    features = np.concatenate([features, features[:16]])

    def found(most_looks: int | None) -> NearDuplicates:
        return find_near_duplicates(
            (images,),
            NetworkFeatures(features, features[-8:]),
            np.arange(56),
            np.zeros(56, np.int64),
            least_agreement=0.8,
            progress=SilentProgress(),
            most_looks=most_looks,
        )

    whole, bounded = found(None), found(8)
    assert whole.left_out == 0
    assert bounded.compared == 8
    assert bounded.compared + bounded.left_out >= whole.compared
    same = [set(zip(of.same.first, of.same.second, strict=True)) for of in (whole, bounded)]
    assert same[1] < same[0]
    # What was hardly changed is nearer than what was edited.
    assert same[1] >= {(place, 40 + place) for place in range(5)}


def test_mirrored_pairs_within_a_group_are_sought_where_it_has_one(
    scenes: Make, cropped: Make, edited: Make
) -> None:
    base = cropped(scenes(40), 2, 2)
    shots = [edited(base[:1], seed) for seed in range(4)]
    images = np.concatenate([base[1:], *shots, *(shot[:, :, ::-1] for shot in shots[::-1])])
    images[43:] += np.uint8(1)  # else they would be mirrored to the bit
    found = search(images)
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert pairs == {(one, other) for one in range(39, 47) for other in range(one + 1, 47)}
    is_across = (found.first < 43) & (found.second >= 43)
    assert (found.is_mirrored == is_across).all()
