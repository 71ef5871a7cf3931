"""Learning-rate schedules: their course, and that they never leave 0 to 1."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.training.schedule import WARM_UP_SHARE, learning_rate_factor
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
def test_course(schedule: ScheduleName, progress: float, factor: float) -> None:
    assert learning_rate_factor(schedule, progress) == pytest.approx(factor, abs=1e-12)


@given(schedule=st.sampled_from(SCHEDULES), progress=st.floats(0, 1))
def test_factor_is_between_zero_and_one(schedule: ScheduleName, progress: float) -> None:
    assert 0 <= learning_rate_factor(schedule, progress) <= 1


@given(
    schedule=st.sampled_from(SCHEDULES),
    places=st.lists(st.floats(WARM_UP_SHARE, 1), min_size=2, max_size=5),
)
def test_after_the_warm_up_it_never_rises(schedule: ScheduleName, places: list[float]) -> None:
    factors = [learning_rate_factor(schedule, place) for place in sorted(places)]
    assert factors == sorted(factors, reverse=True)


@given(progress=st.floats(0, 1 - 1e-6), schedule=st.sampled_from(SCHEDULES))
def test_it_has_no_jumps(progress: float, schedule: ScheduleName) -> None:
    near = learning_rate_factor(schedule, progress + 1e-6)
    assert near == pytest.approx(learning_rate_factor(schedule, progress), abs=1e-5)
