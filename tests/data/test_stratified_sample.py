"""A sample keeps the shares of the classes."""

from __future__ import annotations

import numpy as np

from tenfold.data.splits import stratified_sample

LABELS = np.repeat([0, 1, 2], [600, 300, 2])


def test_keeps_shares_and_every_class() -> None:
    sample = stratified_sample(LABELS, 90, 0)
    assert np.bincount(LABELS[sample]).tolist() == [60, 30, 1]
    assert sample.tolist() == sorted(set(sample.tolist()))


def test_depends_on_the_seed_alone() -> None:
    assert np.array_equal(stratified_sample(LABELS, 90, 0), stratified_sample(LABELS, 90, 0))
    assert not np.array_equal(stratified_sample(LABELS, 90, 0), stratified_sample(LABELS, 90, 1))


def test_no_more_than_there_are() -> None:
    assert np.array_equal(stratified_sample(LABELS, 5000, 0), np.arange(902))
