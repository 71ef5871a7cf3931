"""Reduction on a plateau: when it comes, and that it follows from the losses alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.training.schedule import plateau_factor


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
def test_when_it_reduces(losses: list[float | None], reductions: int) -> None:
    assert plateau_factor(losses, factor=0.1, patience=2) == pytest.approx(0.1**reductions)


@given(losses=st.lists(st.floats(0, 10)), cut=st.integers(0, 50), patience=st.integers(1, 5))
def test_it_never_rises_again(losses: list[float], cut: int, patience: int) -> None:
    whole = plateau_factor(losses, factor=0.5, patience=patience)
    assert 0 < whole <= plateau_factor(losses[:cut], factor=0.5, patience=patience) <= 1
