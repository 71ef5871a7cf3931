from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import DataError, SettingsError, UnknownNameError
from tenfold.data.folds import plan_folds, stratified_folds
from tenfold.data.splits import (
    HoldoutMethod,
    exact_groups,
    groups_of_pairs,
    holdout_split,
    joined_groups,
    possible_holdout,
    regrouped,
    representatives,
    stratified_sample,
    stratified_split,
)

TEN_EACH = np.repeat(np.arange(3), 10)
MIXED = np.arange(1_000) % 10
UNEVEN = np.repeat([0, 1, 2], [600, 300, 2])


def assert_partition(train: Any, validation: Any, count: int) -> None:
    """Check that both are ascending and hold every index once between them."""
    for part in (train, validation):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
    np.testing.assert_array_equal(np.sort(np.concatenate((train, validation))), np.arange(count))


@pytest.mark.parametrize(
    ("count", "fraction", "kept"),
    # As Keras' validation_split: int(count * (1 - fraction)).
    [(50_000, 0.1, 45_000), (1_437, 0.1, 1_293), (1_000, 0.2, 800), (30, 0.15, 25)],
)
def test_last_keeps_the_first_images_as_keras_does(count: int, fraction: float, kept: int) -> None:
    labels = np.arange(count) % 5
    train, validation = holdout_split(labels, fraction=fraction, method="last", seed=0)
    assert_partition(train, validation, count)
    assert len(train) == kept
    assert train[-1] == kept - 1


def test_last_does_not_depend_on_the_seed() -> None:
    one, other = (
        holdout_split(MIXED, fraction=0.1, method="last", seed=seed)[1] for seed in (0, 1)
    )
    np.testing.assert_array_equal(one, other)


def test_stratified_takes_the_same_share_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [500, 100, 20])
    train, validation = holdout_split(labels, fraction=0.1, method="stratified", seed=3)
    assert_partition(train, validation, 620)
    assert np.bincount(labels[validation]).tolist() == [50, 10, 2]


def test_stratified_depends_on_the_seed_alone() -> None:
    def drawn(seed: int) -> tuple[int, ...]:
        return tuple(holdout_split(MIXED, fraction=0.1, method="stratified", seed=seed)[1])

    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(6)
    assert drawn(2**63 - 1) != drawn(2**31 - 1)


@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=5).filter(lambda c: max(c) > 1),
    fraction=st.floats(0.01, 0.95),
    seed=st.integers(0, 2**63 - 1),
)
def test_stratified_leaves_every_class_something_to_train_on(
    counts: list[int], fraction: float, seed: int
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    train, validation = holdout_split(labels, fraction=fraction, method="stratified", seed=seed)
    assert_partition(train, validation, len(labels))
    assert set(labels[train]) == set(range(len(counts)))
    held_out = np.bincount(labels[validation], minlength=len(counts))
    assert (held_out[np.array(counts) > 1] >= 1).all()


@pytest.mark.parametrize("method", ["last", "stratified"])
def test_a_fraction_of_zero_holds_nothing_out(method: HoldoutMethod) -> None:
    train, validation = holdout_split(MIXED, fraction=0, method=method, seed=0)
    assert_partition(train, validation, 1_000)
    assert len(validation) == 0


def test_a_class_that_has_no_images_anywhere_does_not_matter() -> None:
    labels = np.array([0, 2] * 20)
    train, _ = holdout_split(labels, fraction=0.1, method="last", seed=0)
    assert len(train) == 36


def test_last_refuses_to_hold_all_images_of_a_class_out() -> None:
    with pytest.raises(
        DataError, match=r"The last 40% of the images hold all images of label 2, .*'stratified'"
    ):
        holdout_split(TEN_EACH, fraction=0.4, method="last", seed=0)
    with pytest.raises(DataError, match="all images of 'dog'"):
        holdout_split(TEN_EACH, fraction=0.4, method="last", seed=0, classes=("ant", "cat", "dog"))


def test_a_validation_split_without_images_is_refused() -> None:
    with pytest.raises(DataError, match="one training image a class"):
        holdout_split(np.array([0]), fraction=0.5, method="stratified", seed=0)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(SettingsError, match=f"is {fraction}; it must be at least 0 and less"):
        holdout_split(MIXED, fraction=fraction, method="last", seed=0)


@pytest.mark.parametrize("fraction", [0.0, 0.1])
def test_an_unknown_method_is_refused(fraction: float) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'stratified'"):
        holdout_split(MIXED, fraction=fraction, method="stratify", seed=0)  # type: ignore[arg-type]


def test_given_validation_images_are_held_out_whatever_the_method() -> None:
    given = np.zeros(len(TEN_EACH), dtype=bool)
    given[[0, 12, 25]] = True
    for method in ("last", "stratified"):
        train, validation = holdout_split(
            TEN_EACH,
            fraction=0.4,
            method=method,
            seed=0,
            given=given,  # type: ignore[arg-type]
        )
        assert validation.tolist() == [0, 12, 25]
        assert len(train) == len(TEN_EACH) - 3
    train, validation = holdout_split(TEN_EACH, fraction=0, method="last", seed=0, given=given)
    assert (len(train), len(validation)) == (len(TEN_EACH), 0)


def test_a_class_of_given_validation_images_alone_is_refused() -> None:
    with pytest.raises(DataError, match="All images of label 1 are validation images"):
        holdout_split(TEN_EACH, fraction=0.1, method="last", seed=0, given=TEN_EACH == 1)


def test_one_image_a_class_is_said_and_not_a_fraction() -> None:
    with pytest.raises(DataError, match=r"one training image a class \(3 in all\)") as caught:
        holdout_split(np.arange(3), fraction=0.1, method="stratified", seed=0)
    assert "0.1" not in str(caught.value)


def test_duplicates_are_held_out_together_or_not_at_all() -> None:
    labels = np.repeat([0, 1], 50)
    groups = np.arange(100)
    groups[10:20] = 10
    groups[90] = 10  # of the other class
    for seed in range(20):
        train, validation = holdout_split(
            labels, fraction=0.2, method="stratified", seed=seed, groups=groups
        )
        assert_partition(train, validation, 100)
        assert not np.intersect1d(groups[train], groups[validation]).size


def test_what_cannot_be_held_out_as_asked_is_as_near_as_can_be() -> None:
    asked = {"fraction": 0.1, "seed": 0}
    train, validation, note = possible_holdout(TEN_EACH, method="stratified", **asked)
    assert note is None
    assert (validation == holdout_split(TEN_EACH, method="stratified", **asked)[1]).all()
    sorted_labels = np.repeat([0, 1], [30, 2])  # the last tenth holds the whole second class
    train, validation, note = possible_holdout(sorted_labels, method="last", **asked)
    assert note is not None
    assert set(sorted_labels[train]) == set(sorted_labels[validation]) == {0, 1}
    train, validation, note = possible_holdout(np.arange(4), method="stratified", **asked)
    assert note is not None
    assert (len(train), len(validation)) == (4, 0)


@given(
    labels=st.lists(st.integers(0, 4), max_size=60),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 9),
)
def test_every_image_is_in_one_split_and_every_class_in_both(
    labels: list[int], fraction: float, seed: int
) -> None:
    array = np.array(labels, dtype=np.int64)
    train, test = stratified_split(array, fraction, np.random.default_rng(seed))
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(labels)))
    for label in set(labels):
        count = labels.count(label)
        in_test = int((array[test] == label).sum())
        assert in_test <= max(count - 1, 0)
        assert (in_test >= 1) == (count >= 2)
        assert abs(in_test - count * fraction) <= 1.0 or in_test in (1, count - 1)


def test_a_sample_keeps_shares_and_every_class() -> None:
    sample = stratified_sample(UNEVEN, 90, 0)
    assert np.bincount(UNEVEN[sample]).tolist() == [60, 30, 1]
    assert sample.tolist() == sorted(set(sample.tolist()))


def test_a_sample_depends_on_the_seed_alone() -> None:
    assert np.array_equal(stratified_sample(UNEVEN, 90, 0), stratified_sample(UNEVEN, 90, 0))
    assert not np.array_equal(stratified_sample(UNEVEN, 90, 0), stratified_sample(UNEVEN, 90, 1))


def test_a_sample_has_no_more_than_there_are() -> None:
    assert np.array_equal(stratified_sample(UNEVEN, 5000, 0), np.arange(902))


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


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_every_image_validates_once_and_classes_are_even(folds: int) -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    cut = stratified_folds(labels, folds, seed=0)
    assert len(cut) == folds
    for train, validation in cut:
        assert_partition(train, validation, 160)
        counts = np.bincount(labels[validation], minlength=3)
        assert (abs(counts - np.array([100, 50, 10]) / folds) <= 1).all()
    everyone = np.concatenate([validation for _, validation in cut])
    np.testing.assert_array_equal(np.sort(everyone), np.arange(160))


def test_folds_are_shuffled_by_the_whole_seed() -> None:
    def first(seed: int) -> tuple[int, ...]:
        return tuple(stratified_folds(MIXED, 5, seed)[0][1])

    assert first(4) == first(4)
    seeds = [0, 1, 2**32, 2**63 - 1]  # an equal lower half must not mean equal folds
    assert len({first(seed) for seed in seeds}) == len(seeds)
    assert first(0) != tuple(range(200))


def test_a_class_too_small_for_the_folds_is_named() -> None:
    labels = np.repeat([0, 1, 2], [20, 4, 3])
    with pytest.raises(
        DataError,
        match=r"5 folds need at least 5 images of every class.*fewer of label 1, label 2 "
        r"\(3 of the smallest\): use at most 3 folds or add images",
    ):
        stratified_folds(labels, 5, seed=0)
    with pytest.raises(DataError, match="fewer of 'cat', 'dog'"):
        stratified_folds(labels, 5, seed=0, classes=("ant", "cat", "dog"))


def test_many_small_classes_are_counted_rather_than_listed() -> None:
    with pytest.raises(DataError, match=r"label 0, .*label 4 and 7 more \(1 of the .*\): add"):
        stratified_folds(np.arange(12), 2, seed=0)


@pytest.mark.parametrize(
    ("counts", "asked", "folds", "alone"),
    [
        ((9, 9, 9), 5, 5, 0),
        ((9, 9, 3), 5, 3, 0),
        ((9, 9, 1), 5, 5, 1),
        ((9, 2, 1, 1), 5, 2, 2),
        ((9, 1), 5, 0, 1),
        ((1, 1), 2, 0, 2),
    ],
)
def test_folds_are_as_many_as_the_classes_allow(
    counts: tuple[int, ...], asked: int, folds: int, alone: int
) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    plan = plan_folds(labels, asked)
    assert (plan.folds, len(plan.alone)) == (folds, alone)
    assert bool(plan.notes) == (folds < asked or alone > 0)
    if folds and alone:
        assert ("image of each of" in plan.notes[-1]) == (alone > 1)
        assert ("this class has" in plan.notes[-1]) == (alone == 1)
    if not folds:
        return
    cut = stratified_folds(labels, plan.folds, 0, alone=plan.alone)
    validating = np.sort(np.concatenate([validation for _, validation in cut]))
    assert (validating == np.setdiff1d(np.arange(len(labels)), plan.alone)).all()
    for train, validation in cut:
        assert (np.union1d(train, validation) == np.arange(len(labels))).all()
        assert not len(np.intersect1d(train, validation))
        assert len(np.unique(labels[train])) == len(counts), "no fold trains without a class"


@pytest.mark.parametrize("folds", [1, 0, -3])
def test_fewer_than_two_folds_are_refused(folds: int) -> None:
    with pytest.raises(SettingsError, match=f"at least 2 folds, got {folds}"):
        stratified_folds(MIXED, folds, seed=0)


def test_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="no images to cut into folds"):
        stratified_folds(np.empty(0, np.int64), 2, seed=0)


@given(st.integers(0, 2**32), st.integers(2, 4))
def test_folds_do_not_tear_duplicates_apart(seed: int, folds: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], 20)
    twins = rng.integers(0, 60, 60)
    groups = np.where(rng.random(60) < 0.2, np.minimum(twins, np.arange(60)), np.arange(60))
    groups = groups[groups][groups[groups]]
    groups = regrouped(groups, np.arange(60))
    parts = stratified_folds(labels, folds, seed, groups=groups)
    for train, validation in parts:
        assert_partition(train, validation, 60)
        assert not np.intersect1d(groups[train], groups[validation]).size


def test_without_duplicates_groups_change_nothing() -> None:
    alone = np.arange(len(MIXED))
    for method in (
        lambda groups: holdout_split(
            MIXED, fraction=0.1, method="stratified", seed=1, groups=groups
        )[1],
        lambda groups: stratified_folds(MIXED, 5, 1, groups=groups)[2][1],
    ):
        np.testing.assert_array_equal(method(alone), method(None))


def test_a_class_of_copies_is_taken_apart_rather_than_refused() -> None:
    labels = np.repeat([0, 1], 10)
    groups = np.where(labels == 1, 10, np.arange(20))
    for train, validation in stratified_folds(labels, 5, 0, groups=groups):
        assert set(labels[train]) == set(labels[validation]) == {0, 1}
    train, validation = holdout_split(
        labels, fraction=0.2, method="stratified", seed=0, groups=groups
    )
    assert set(labels[train]) == set(labels[validation]) == {0, 1}


def test_groups_of_several_classes_are_kept_whole_in_draws_and_folds() -> None:
    labels = np.tile(np.arange(10), 12)  # Twelve writers of ten digits each.
    groups = np.repeat(np.arange(12) * 10, 10)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        train, test = stratified_split(labels, 0.2, rng, groups)
        assert not set(groups[train]) & set(groups[test])
        assert 1 <= len(set(groups[test])) <= 4
        folds = stratified_folds(labels, 4, seed, groups=groups)
        assert sorted(np.concatenate([validation for _, validation in folds])) == [*range(120)]
        for trained, validated in folds:
            assert not set(groups[trained]) & set(groups[validated])
            assert len(np.unique(labels[trained])) == len(np.unique(labels[validated])) == 10


def test_groups_of_too_few_for_the_folds_are_divided() -> None:
    labels, groups = np.tile([0, 1], 10), np.repeat([0, 10], 10)
    folds = stratified_folds(labels, 5, 0, groups=groups)
    assert all(len(np.unique(labels[validated])) == 2 for _, validated in folds)
