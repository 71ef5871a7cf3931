"""An epoch of over- or under-sampled classes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tenfold.data.rebalancing.epoch_samples import epoch_samples


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


def test_epochs_and_seeds_draw_others() -> None:
    labels = np.repeat([0, 1], [100, 5])
    draws = {
        tuple(np.sort(epoch_samples(labels, [5, 5], seed=seed, epoch=epoch)))
        for seed in (0, 1)
        for epoch in range(5)
    }
    assert len(draws) == 10


def test_the_order_is_mixed() -> None:
    labels = np.repeat([0, 1], [50, 50])
    samples = epoch_samples(labels, [50, 50], seed=0, epoch=0)
    assert 10 < labels[samples[:50]].sum() < 40
