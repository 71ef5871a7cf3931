"""The rising learning rate: its course and its two ends."""

from __future__ import annotations

import pytest

from tenfold.training.schedule import RateSweep, SweepOver


def sweep(steps: int = 5) -> RateSweep:
    return RateSweep(low=0.001, high=10.0, steps=steps, peak=0.1)


def test_rates_rise_in_equal_ratios() -> None:
    made = sweep()
    assert [made.rate(step) for step in range(5)] == pytest.approx([0.001, 0.01, 0.1, 1, 10])
    assert made.factor == pytest.approx(0.01)
    made.note(2.0)
    assert made.factor == pytest.approx(0.1)


def test_it_ends_after_the_last_rate() -> None:
    made = sweep()
    for _ in range(4):
        made.note(2.0)
    with pytest.raises(SweepOver):
        made.note(2.0)
    assert made.smoothed == pytest.approx([2.0] * 5)  # corrected for its start


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_it_ends_at_a_loss_that_is_no_number(loss: float) -> None:
    made = sweep()
    made.note(2.0)
    with pytest.raises(SweepOver):
        made.note(loss)
    assert made.losses == [2.0]


def test_it_ends_when_the_loss_has_grown() -> None:
    made = sweep(steps=50)
    made.note(1.0)
    made.note(1.0)
    with pytest.raises(SweepOver):
        made.note(60.0)
    assert made.smoothed[-1] > 4
