"""Spans of time as people write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import SettingsError
from tenfold.core.text import format_duration, format_estimate, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("90", 90),
        (" 10m ", 600),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        ("1.5m", 90),
        ("4.3s", 4.3),
        ("10M", 600),
        (40, 40),
        (0.5, 0.5),
    ],
)
def test_spans_are_seconds(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "ten", "10 days", "-5s", "0", "0h0m", "1m2h", "1e3s", "nan", "inf", -1, 0]
)
def test_anything_else_is_refused_with_examples(text: str | float) -> None:
    with pytest.raises(SettingsError, match="is not a span of time") as caught:
        parse_duration(text)
    assert "90s, 10m, 2h" in str(caught.value)


@given(st.text(max_size=12))
def test_any_text_is_a_span_above_zero_or_refused(text: str) -> None:
    with contextlib.suppress(SettingsError):
        assert parse_duration(text) > 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.31, "4.3 s"),
        (4, "4 s"),
        (23, "23 s"),
        (90, "1 min 30 s"),
        (600, "10 min"),
        (3599.6, "1 h"),
        (8000, "2 h 13 min"),
    ],
)
def test_written_as_people_do(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(30.7, "31 s"), (114, "110 s"), (185, "3.1 min"), (7190, "120 min"), (8000, "2.2 h")],
)
def test_an_estimate_is_not_more_exact_than_it_is_sure(seconds: float, text: str) -> None:
    assert format_estimate(seconds) == text
