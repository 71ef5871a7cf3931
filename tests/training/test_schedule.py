"""Learning rates along a training, when it stalls, and how far it is by steps and by a clock."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tenfold.training import schedule as schedules
from tenfold.training.schedule import (
    WARM_UP_SHARE,
    ClockPace,
    RateSweep,
    StepPace,
    SweepOver,
    has_stalled,
    learning_rate_factor,
    plateau_factor,
)
from tenfold.training.settings import ScheduleName

SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)


@pytest.mark.parametrize(
    ("schedule", "progress", "factor"),
    [
        ("constant", 0.0, 1.0),
        ("constant", WARM_UP_SHARE, 1.0),
        ("constant", 1.0, 1.0),
        ("cosine", 0.0, 1.0),
        ("cosine", 1 / 3, 0.75),
        ("cosine", 0.5, 0.5),
        ("cosine", 1.0, 0.0),
        ("one-cycle", 0.0, 0.0),
        ("one-cycle", WARM_UP_SHARE / 2, 0.5),
        ("one-cycle", WARM_UP_SHARE, 1.0),
        ("one-cycle", (1 + WARM_UP_SHARE) / 2, 0.5),
        ("one-cycle", 1.0, 0.0),
    ],
)
def test_the_courses_of_schedules(schedule: ScheduleName, progress: float, factor: float) -> None:
    assert learning_rate_factor(schedule, progress) == pytest.approx(factor, abs=1e-12)


@given(schedule=st.sampled_from(SCHEDULES), progress=st.floats(0, 1))
def test_factor_is_between_zero_and_one(schedule: ScheduleName, progress: float) -> None:
    assert 0 <= learning_rate_factor(schedule, progress) <= 1


@given(
    schedule=st.sampled_from(SCHEDULES),
    places=st.lists(st.floats(WARM_UP_SHARE, 1), min_size=2, max_size=5),
)
def test_after_the_warm_up_a_rate_never_rises(schedule: ScheduleName, places: list[float]) -> None:
    factors = [learning_rate_factor(schedule, place) for place in sorted(places)]
    assert factors == sorted(factors, reverse=True)


@given(progress=st.floats(0, 1 - 1e-6), schedule=st.sampled_from(SCHEDULES))
def test_a_schedule_has_no_jumps(progress: float, schedule: ScheduleName) -> None:
    near = learning_rate_factor(schedule, progress + 1e-6)
    assert near == pytest.approx(learning_rate_factor(schedule, progress), abs=1e-5)


@pytest.mark.parametrize(
    ("losses", "reductions"),
    [
        ([], 0),
        ([1.0], 0),
        ([1.0, 1.0], 0),
        ([1.0, 1.0, 1.0], 1),  # two epochs in a row without a lower one
        ([1.0, 0.9, 0.8, 0.7], 0),
        ([1.0, 1.1, 0.9, 1.1], 0),  # a lower one begins the count anew
        ([1.0, 1.1, 0.9, 1.1, 0.95], 1),
        ([1.0] * 5, 2),  # a reduction begins the count anew
        ([1.0] * 4, 1),
        ([1.0, 0.99995, 0.9999], 1),  # below the least fall from the best
        ([1.0, float("nan"), None], 1),
        ([None, None], 1),
    ],
)
def test_when_a_plateau_reduces_the_rate(losses: list[float | None], reductions: int) -> None:
    assert plateau_factor(losses, factor=0.1, patience=2) == pytest.approx(0.1**reductions)


@given(losses=st.lists(st.floats(0, 10)), cut=st.integers(0, 50), patience=st.integers(1, 5))
def test_a_reduced_rate_never_rises_again(losses: list[float], cut: int, patience: int) -> None:
    whole = plateau_factor(losses, factor=0.5, patience=patience)
    assert 0 < whole <= plateau_factor(losses[:cut], factor=0.5, patience=patience) <= 1


@pytest.mark.parametrize(
    ("epochs", "best_epoch", "patience", "expected"),
    [
        (0, None, 2, False),
        (9, None, 2, False),  # nothing was validated
        (1, 0, 1, False),
        (2, 0, 1, True),
        (2, 1, 1, False),
        (5, 2, 2, True),
        (5, 2, 3, False),
        (1000, 0, None, False),
    ],
)
def test_a_training_has_stalled_after_so_many_epochs(
    epochs: int, best_epoch: int | None, patience: int | None, expected: bool
) -> None:
    assert has_stalled(epochs=epochs, best_epoch=best_epoch, patience=patience) is expected


class Clock:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(schedules, "time", clock)
    return clock


def run(pace: ClockPace, clock: Clock, *, seconds_a_step: float) -> list[float]:
    """Train by the pace and give the progress at every step."""
    seen: list[float] = []
    while not pace.is_over(len(seen)):
        seen.append(pace.progress(len(seen)))
        clock.now += seconds_a_step
    return seen


def clock_pace(seconds: float, *, spent: float = 0.0, kept_back: float = 0.0) -> ClockPace:
    return ClockPace(
        seconds, spent_seconds=spent, steps_kept_back=kept_back, device=torch.device("cpu")
    )


def test_steps_end_at_their_number_and_progress_is_in_the_middle_of_each() -> None:
    pace = StepPace(4)
    assert [pace.progress(step) for step in range(4)] == [0.125, 0.375, 0.625, 0.875]
    assert [pace.is_over(step) for step in range(5)] == [False] * 4 + [True]
    assert pace.elapsed() == 0


@pytest.mark.parametrize("seconds_a_step", [0.01, 0.3, 2.0])
def test_a_budget_ends_within_half_a_step(clock: Clock, seconds_a_step: float) -> None:
    started = clock.now
    progress = run(clock_pace(10), clock, seconds_a_step=seconds_a_step)
    assert abs(clock.now - started - 10) <= seconds_a_step / 2 + 1e-9
    assert progress == sorted(progress)
    assert progress[-1] == pytest.approx(1, abs=seconds_a_step / 10)


def test_time_spent_before_counts(clock: Clock) -> None:
    started = clock.now
    progress = run(clock_pace(10, spent=4), clock, seconds_a_step=0.1)
    assert clock.now - started == pytest.approx(6, abs=0.1)
    assert progress[0] == pytest.approx(0.4, abs=0.02)


def test_a_machine_that_slows_down_still_ends_in_time(clock: Clock) -> None:
    pace, started, steps = clock_pace(10), clock.now, 0
    while not pace.is_over(steps):
        clock.now += 0.1 if clock.now - started < 5 else 0.4
        steps += 1
    assert clock.now - started == pytest.approx(10, abs=0.4)


def test_time_for_the_last_validation_is_kept_back(clock: Clock) -> None:
    started = clock.now
    run(clock_pace(10, kept_back=5), clock, seconds_a_step=0.2)  # 5 steps of 0.2 s
    assert clock.now - started == pytest.approx(9, abs=0.2)


def test_a_validation_that_was_measured_counts_instead(clock: Clock) -> None:
    started = clock.now
    pace = clock_pace(10, kept_back=5)
    pace.note_validation(3)
    pace.note_validation(2)
    run(pace, clock, seconds_a_step=0.2)
    assert clock.now - started == pytest.approx(7, abs=0.2)


def test_one_step_is_done_even_when_the_time_is_up(clock: Clock) -> None:
    assert len(run(clock_pace(1, spent=5), clock, seconds_a_step=0.5)) == 1


def sweep(steps: int = 5) -> RateSweep:
    return RateSweep(low=0.001, high=10.0, steps=steps, peak=0.1)


def test_rates_rise_in_equal_ratios() -> None:
    made = sweep()
    assert [made.rate(step) for step in range(5)] == pytest.approx([0.001, 0.01, 0.1, 1, 10])
    assert made.factor == pytest.approx(0.01)
    made.note(2.0)
    assert made.factor == pytest.approx(0.1)


def test_a_sweep_ends_after_the_last_rate() -> None:
    made = sweep()
    for _ in range(4):
        made.note(2.0)
    with pytest.raises(SweepOver):
        made.note(2.0)
    assert made.smoothed == pytest.approx([2.0] * 5)  # corrected for its start


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_sweep_ends_at_a_loss_that_is_no_number(loss: float) -> None:
    made = sweep()
    made.note(2.0)
    with pytest.raises(SweepOver):
        made.note(loss)
    assert made.losses == [2.0]


def test_a_sweep_ends_when_the_loss_has_grown() -> None:
    made = sweep(steps=50)
    made.note(1.0)
    made.note(1.0)
    with pytest.raises(SweepOver):
        made.note(60.0)
    assert made.smoothed[-1] > 4
