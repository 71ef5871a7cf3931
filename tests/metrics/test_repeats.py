"""Mean and spread of runs: the textbook's numbers, and the level that they promise."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.evaluation.differences import Spread


def test_three_runs_by_hand() -> None:
    spread = Spread.of([0.90, 0.92, 0.94])
    assert spread.mean == pytest.approx(0.92)
    assert spread.deviation == pytest.approx(0.02)
    # Student's quantile with 2 degrees of freedom is 4.3027; chi-square's are 0.05064 and 7.3778.
    assert spread.interval.high - spread.mean == pytest.approx(4.3027 * 0.02 / 3**0.5, rel=1e-4)
    assert spread.least_difference == pytest.approx(4.3027 * 2**0.5 * 0.02, rel=1e-4)
    assert spread.deviation_interval.low == pytest.approx(0.02 * (2 / 7.3778) ** 0.5, rel=1e-4)
    assert spread.deviation_interval.high == pytest.approx(0.02 * (2 / 0.05064) ** 0.5, rel=1e-3)


def test_equal_runs_have_no_spread() -> None:
    spread = Spread.of([0.9, 0.9])
    assert (spread.deviation, spread.least_difference) == (0, 0)
    assert spread.interval.holds(0.9)


def test_intervals_cover_the_truth_in_95_of_100() -> None:
    generator = np.random.default_rng(0)
    held = {"mean": 0, "deviation": 0, "difference": 0}
    for _ in range(2000):
        *runs, first, second = (0.9 + 0.01 * generator.standard_normal(6)).tolist()
        spread = Spread.of(runs)
        held["mean"] += spread.interval.holds(0.9)
        held["deviation"] += spread.deviation_interval.holds(0.01)
        held["difference"] += abs(first - second) <= spread.least_difference
    for name, number in held.items():
        assert 0.93 < number / 2000 < 0.97, name
