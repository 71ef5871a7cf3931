"""What every registered rebalancing has to keep, how one is chosen, and the epochs it makes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import DataError, UnknownNameError
from tenfold.core.records.training import RebalancingPlan
from tenfold.data.rebalancing import (
    AUTO_METHOD,
    REBALANCINGS,
    Rebalancing,
    check_rebalancing,
    choose_rebalancing,
    epoch_samples,
    rebalancing_names,
)

COUNTS = (500, 120, 60, 5)


@pytest.fixture(params=REBALANCINGS.names())
def rebalancing(request: pytest.FixtureRequest) -> Rebalancing:
    return REBALANCINGS[request.param]


def influence(plan: RebalancingPlan, counts: tuple[int, ...]) -> np.ndarray:
    """Give how much each class weighs in an epoch's loss, all its images together."""
    shown = np.array(plan.images_per_epoch or counts, float)
    weighed = shown * np.array(plan.class_weights or np.ones(len(counts)))
    # An offset log(share) has the effect of the weight 1 / share on where the loss is least.
    return weighed * np.exp(-np.array(plan.logit_offsets or np.zeros(len(counts))))


def test_it_says_what_it_does(rebalancing: Rebalancing) -> None:
    assert not rebalancing.describe().endswith(".")


def test_even_classes_stay_as_they_are(rebalancing: Rebalancing) -> None:
    plan = rebalancing.plan((40, 40, 40))
    assert plan.class_weights is None or plan.class_weights == pytest.approx((1, 1, 1))
    assert plan.images_per_epoch in (None, (40, 40, 40))
    assert plan.logit_offsets is None or len(set(plan.logit_offsets)) == 1


def test_small_classes_gain_and_none_is_turned_over(rebalancing: Rebalancing) -> None:
    shares = influence(rebalancing.plan(COUNTS), COUNTS)
    ratio = shares.max() / shares.min()
    if rebalancing is REBALANCINGS["none"]:
        assert ratio == 100
    else:
        assert ratio < 1.1
        assert (np.diff(shares) <= 1e-9 * shares[:-1]).all()


def test_the_step_size_stays(rebalancing: Rebalancing) -> None:
    if weights := rebalancing.plan(COUNTS).class_weights:
        assert np.average(weights, weights=COUNTS) == pytest.approx(1)


@pytest.mark.parametrize("name", rebalancing_names())
def test_an_absent_class_is_an_error_that_says_what_to_change(name: str) -> None:
    counts = (5, 0, 9)
    if name in ("none", "auto"):
        chosen = choose_rebalancing(name, counts, ("ant", "bee", "cat"))
        assert chosen.method == "none"
        assert chosen.ratio is None
        assert name == "none" or "a class has no training image" in chosen.sentence
        return
    with pytest.raises(DataError, match=rf"'{name}' needs .* but class 'bee' has none .*Add imag"):
        choose_rebalancing(name, counts, ("ant", "bee", "cat"))
    with pytest.raises(DataError, match=r"classes number 0, number 1 have none.*--rebalance none"):
        choose_rebalancing(name, (0, 0, 9))


def test_a_wrong_name_suggests_the_near_one() -> None:
    with pytest.raises(UnknownNameError, match=r"no rebalancing named 'oversample'.*'over-sample'"):
        check_rebalancing("oversample")
    with pytest.raises(UnknownNameError, match="no rebalancing named ''"):
        choose_rebalancing("", (1, 1))


def test_auto_goes_by_the_measured_ratio_and_says_so() -> None:
    even = choose_rebalancing("auto", (140, 100))
    assert even.method == "none"
    assert "1.4 times the images of the smallest, which is even enough" in even.sentence
    uneven = choose_rebalancing("auto", (5000, 50))
    assert uneven.method == AUTO_METHOD
    assert "chosen by auto: the largest class has 100.0 times" in uneven.sentence
    assert uneven.logit_offsets == REBALANCINGS[AUTO_METHOD].plan((5000, 50)).logit_offsets
    assert choose_rebalancing("auto", (150, 100)).method == AUTO_METHOD


def test_figures_by_hand() -> None:
    # Three images of one class and one of another: weights 1/3 and 1, whose mean is 1/2.
    assert REBALANCINGS["inverse"].plan((3, 1)).class_weights == pytest.approx((2 / 3, 2))
    assert REBALANCINGS["logit-adjust"].plan((3, 1)).logit_offsets == pytest.approx(
        (np.log(0.75), np.log(0.25))
    )
    assert REBALANCINGS["over-sample"].plan((3, 1)).images_per_epoch == (3, 3)
    assert REBALANCINGS["under-sample"].plan((3, 1)).images_per_epoch == (1, 1)
    # Effective numbers for beta 0.9999: 3934.7 of 5,000 and 49.88 of 50 (Cui et al., equation 2).
    large, small = REBALANCINGS["effective-number"].plan((5000, 50)).class_weights or (0, 1)
    assert small / large == pytest.approx(3934.8 / 49.878, rel=1e-3)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    wanted=st.integers(0, 30),
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 1000),
)
def test_every_class_is_shown_as_often_as_wanted_and_its_images_evenly(
    sizes: list[int], wanted: int, seed: int, epoch: int
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    samples = epoch_samples(labels, [wanted] * len(sizes), seed=seed, epoch=epoch)
    assert samples.dtype == np.int64
    assert len(set(samples.tolist())) == len(samples), "each showing has numbers of its own"
    images = samples % len(labels)
    assert np.bincount(labels[images], minlength=len(sizes)).tolist() == [wanted] * len(sizes)
    for label, size in enumerate(sizes):
        shown = np.bincount(images, minlength=len(labels))[labels == label]
        assert shown.max() - shown.min() <= 1
        assert shown.max() == -(-wanted // size)
    again = epoch_samples(labels, [wanted] * len(sizes), seed=seed, epoch=epoch)
    assert np.array_equal(samples, again)


def test_epochs_and_seeds_draw_other_samples() -> None:
    labels = np.repeat([0, 1], [100, 5])
    draws = {
        tuple(np.sort(epoch_samples(labels, [5, 5], seed=seed, epoch=epoch)))
        for seed in (0, 1)
        for epoch in range(5)
    }
    assert len(draws) == 10


def test_an_epoch_s_order_is_mixed() -> None:
    labels = np.repeat([0, 1], [50, 50])
    samples = epoch_samples(labels, [50, 50], seed=0, epoch=0)
    assert 10 < labels[samples[:50]].sum() < 40
