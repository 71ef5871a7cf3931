"""Paces: steps counted, and the clock's budget, with a clock that the test moves."""

from __future__ import annotations

import pytest
import torch

from tenfold.training import schedule as pace_module
from tenfold.training.schedule import ClockPace, StepPace


class Clock:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace_module, "time", clock)
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
