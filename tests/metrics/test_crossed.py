"""Intervals of a difference over images and seeds."""

from __future__ import annotations

import numpy as np

from tenfold.evaluation.differences import crossed_interval


def test_one_seed_gives_the_interval_of_the_images() -> None:
    differences = np.array([[1, 0, 0, -1, 1, 0, 0, 0, 1, 0]], float)
    interval = crossed_interval(differences)
    error = differences.std(ddof=1) / 10**0.5
    assert interval.low < 0.2 < interval.high
    assert np.isclose((interval.high - interval.low) / 2, 2.262 * error, rtol=1e-3)  # t, 9 degrees


def test_no_difference_has_no_width() -> None:
    interval = crossed_interval(np.zeros((3, 50)))
    assert (interval.low, interval.high) == (0.0, 0.0)


def test_seeds_that_disagree_widen_it() -> None:
    calm = np.tile([1.0, 0.0, 0.0, 0.0], (4, 100))
    wild = calm.copy()
    wild[0] = 1.0
    wild[1] = -1.0
    widths = [interval.high - interval.low for interval in map(crossed_interval, (calm, wild))]
    assert widths[1] > 5 * widths[0]


def test_it_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        effects = generator.normal(0.03, 0.02, (5, 1))  # one a seed
        difficulty = generator.normal(0, 0.3, (1, 400))
        noise = generator.normal(0, 0.3, (5, 400))
        held += crossed_interval(effects + difficulty + noise).holds(0.03)
    assert 0.93 <= held / 400 <= 0.99
