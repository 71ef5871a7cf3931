"""What stays on a terminal of a task's progress."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tenfold.cli import terminal
from tenfold.cli.terminal import TerminalProgress


class _Clock:
    """Stands for the module `time`: it goes on when it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(terminal, "time", clock)
    return clock


def _said(clock: _Clock, *, total: int, seconds_each: float, done: float = 0.0) -> list[str]:
    output = io.StringIO()
    progress = TerminalProgress(Console(file=output, width=200))
    with progress.task("Training", total, done=done, unit="steps") as task:
        for _ in range(total - int(done)):
            clock.now += seconds_each
            task.advance(1)
    return output.getvalue().splitlines()


def test_a_long_task_says_once_how_long_it_will_take(clock: _Clock) -> None:
    assert _said(clock, total=100, seconds_each=2.0) == ["Training: about 3.3 min"]


def test_what_was_done_before_is_not_counted_as_fast(clock: _Clock) -> None:
    assert _said(clock, total=100, done=80, seconds_each=4.0) == ["Training: about 80 s"]


def test_a_short_task_says_nothing(clock: _Clock) -> None:
    assert _said(clock, total=10, seconds_each=1.0) == []
