"""A search's time, earlier attempts included."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenfold.study.search.trials import TimeLimit


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give a clock that stands at its one value."""
    now = [100.0]
    monkeypatch.setattr("tenfold.study.search.trials.time.monotonic", lambda: now[0])
    return now


def test_it_is_over_when_the_time_is_spent(tmp_path: Path, clock: list[float]) -> None:
    limit = TimeLimit(10.0, tmp_path / "time.json")
    assert not limit.is_over()
    clock[0] += 10
    assert limit.is_over()


def test_another_attempt_has_what_is_left(tmp_path: Path, clock: list[float]) -> None:
    first = TimeLimit(10.0, tmp_path / "time.json")
    clock[0] += 7
    first.note()
    clock[0] += 1000  # nothing ran
    second = TimeLimit(10.0, tmp_path / "time.json")
    assert second.spent() == 7
    clock[0] += 2.5
    assert not second.is_over()
    clock[0] += 0.5
    assert second.is_over()


def test_notes_are_a_second_apart_unless_one_is_due(tmp_path: Path, clock: list[float]) -> None:
    path = tmp_path / "time.json"
    limit = TimeLimit(10.0, path)
    clock[0] += 0.5
    limit.note()
    assert not path.exists()
    limit.note(is_due=True)
    assert path.exists()


def test_without_a_limit_nothing_is_written(tmp_path: Path, clock: list[float]) -> None:
    limit = TimeLimit(None, tmp_path / "time.json")
    clock[0] += 1e9
    limit.note(is_due=True)
    assert not limit.is_over()
    assert list(tmp_path.iterdir()) == []
